package storetest

import (
	"cmp"
	"math"
	"reflect"
	"slices"

	"tributary"
)

func keyCases() []testCase {
	return []testCase{
		{"Fields", keyFields},
		{"Stale", keyStale},
		{"List", keyList},
		{"Delete", keyDelete},
		{"NothingShared", keyNothingShared},
		{"Sealing", sealingKeys},
	}
}

const (
	developerKey = "AKIAIOSFODNN7EXAMPLE"
	keyPolicy    = `{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}`
)

func keyFields(k *kit) {
	ctx := k.Context()
	_, err := k.s.AccessKey(ctx, developerKey)
	k.kind(err, tributary.NotFound)
	want := tributary.AccessKey{ID: developerKey, Sealed: []byte("\x00\xffsealed"), Created: epoch, Disabled: true,
		Name: "Ωmega \"<&>'", Policy: keyPolicy, Until: epoch + 1}
	k.ok(k.s.PutAccessKey(ctx, want))
	want.Revision = 1
	a := got(k.s.AccessKey(ctx, developerKey))(k)
	k.same("access key", accessKeyText(&a), accessKeyText(&want))
	want.Sealed, want.Created, want.Disabled, want.Name, want.Policy, want.Until = nil, epoch, false, "", "", 0
	k.ok(k.s.PutAccessKey(ctx, want))
	want.Revision = 2
	a = got(k.s.AccessKey(ctx, developerKey))(k)
	k.same("access key put again", accessKeyText(&a), accessKeyText(&want))
	_, err = k.s.AccessKey(ctx, "akiaiosfodnn7example")
	k.kind(err, tributary.NotFound)
}

func keyStale(k *kit) {
	ctx := k.Context()
	k.kind(k.s.PutAccessKey(ctx, tributary.AccessKey{ID: developerKey, Revision: 1}), tributary.Stale)
	_, err := k.s.AccessKey(ctx, developerKey)
	k.kind(err, tributary.NotFound)
	k.ok(k.s.PutAccessKey(ctx, tributary.AccessKey{ID: developerKey, Sealed: []byte("1")}))
	k.ok(k.s.PutAccessKey(ctx, tributary.AccessKey{ID: developerKey, Sealed: []byte("2"), Revision: 1}))
	for _, revision := range []int64{0, 1, 3, -1} {
		k.kind(k.s.PutAccessKey(ctx, tributary.AccessKey{ID: developerKey, Sealed: []byte("3"), Revision: revision}), tributary.Stale)
	}
	if a := got(k.s.AccessKey(ctx, developerKey))(k); string(a.Sealed) != "2" || a.Revision != 2 {
		k.Fatalf("after stale puts the key is %s", accessKeyText(&a))
	}
}

func keyList(k *kit) {
	if list := got(k.s.AccessKeys(k.Context()))(k); len(list) != 0 {
		k.Fatalf("an empty store has %d keys", len(list))
	}
	var want []tributary.AccessKey
	for _, id := range []string{"AKIA", "AKIA0", "AKIAa", "AKIA-", "akia", "B"} {
		a := tributary.AccessKey{ID: id, Sealed: []byte(id), Created: epoch}
		k.ok(k.s.PutAccessKey(k.Context(), a))
		a.Revision = 1
		want = append(want, a)
	}
	list := got(k.s.AccessKeys(k.Context()))(k)
	byID := func(a, b tributary.AccessKey) int { return cmp.Compare(a.ID, b.ID) }
	slices.SortFunc(list, byID)
	slices.SortFunc(want, byID)
	k.same("access keys", texts(list, accessKeyText), texts(want, accessKeyText))
}

// keyDelete: a key that is gone can be made again, and leaves others alone.
func keyDelete(k *kit) {
	ctx := k.Context()
	k.kind(k.s.DeleteAccessKey(ctx, developerKey), tributary.NotFound)
	k.ok(k.s.PutAccessKey(ctx, tributary.AccessKey{ID: developerKey, Sealed: []byte("1")}))
	k.ok(k.s.PutAccessKey(ctx, tributary.AccessKey{ID: developerKey, Sealed: []byte("2"), Revision: 1}))
	k.ok(k.s.PutAccessKey(ctx, tributary.AccessKey{ID: developerKey + "S", Sealed: []byte("other")}))
	k.kind(k.s.DeleteAccessKey(ctx, "akiaiosfodnn7example"), tributary.NotFound)
	k.ok(k.s.DeleteAccessKey(ctx, developerKey))
	_, err := k.s.AccessKey(ctx, developerKey)
	k.kind(err, tributary.NotFound)
	if list := got(k.s.AccessKeys(ctx))(k); len(list) != 1 || list[0].ID != developerKey+"S" {
		k.Fatalf("left are %s", texts(list, accessKeyText))
	}
	k.kind(k.s.DeleteAccessKey(ctx, developerKey), tributary.NotFound)
	k.kind(k.s.PutAccessKey(ctx, tributary.AccessKey{ID: developerKey, Revision: 2}), tributary.Stale)
	k.ok(k.s.PutAccessKey(ctx, tributary.AccessKey{ID: developerKey, Sealed: []byte("3")}))
	if a := got(k.s.AccessKey(ctx, developerKey))(k); string(a.Sealed) != "3" || a.Revision != 1 {
		k.Fatalf("made again the key is %s", accessKeyText(&a))
	}
}

func keyNothingShared(k *kit) {
	in := tributary.AccessKey{ID: developerKey, Sealed: []byte("sealed"), Created: epoch}
	k.ok(k.s.PutAccessKey(k.Context(), in))
	in.Sealed[0] = 'X'
	for range 2 {
		a, list := got(k.s.AccessKey(k.Context(), developerKey))(k), got(k.s.AccessKeys(k.Context()))(k)
		if string(a.Sealed) != "sealed" || string(list[0].Sealed) != "sealed" {
			k.Fatalf("the key became %q, %q", a.Sealed, list[0].Sealed)
		}
		a.Sealed[0], list[0].Sealed[0] = 'X', 'X'
	}
}

func sealingKeys(k *kit) {
	ctx := k.Context()
	k.kind(k.s.DeleteSealingKey(ctx, 1), tributary.NotFound)
	k.kind(k.s.PutSealingKey(ctx, tributary.SealingKey{ID: 1, Revision: 1}), tributary.Stale)
	put := func(id uint32, revision int64, sealed string) {
		k.Helper()
		k.ok(k.s.PutSealingKey(ctx, tributary.SealingKey{ID: id, Revision: revision, Sealed: []byte(sealed), Created: epoch}))
	}
	put(1, 0, "one")
	put(2, 0, "two")
	put(math.MaxUint32, 0, "last")
	put(2, 1, "two \x00\xff")
	k.kind(k.s.PutSealingKey(ctx, tributary.SealingKey{ID: 2, Revision: 1}), tributary.Stale)
	k.kind(k.s.PutSealingKey(ctx, tributary.SealingKey{ID: 2}), tributary.Stale)
	k.ok(k.s.DeleteSealingKey(ctx, 1))
	k.kind(k.s.DeleteSealingKey(ctx, 1), tributary.NotFound)
	for range 2 {
		list := got(k.s.SealingKeys(ctx))(k)
		slices.SortFunc(list, func(a, b tributary.SealingKey) int { return cmp.Compare(a.ID, b.ID) })
		want := []tributary.SealingKey{{ID: 2, Revision: 2, Sealed: []byte("two \x00\xff"), Created: epoch}, {ID: math.MaxUint32, Revision: 1, Sealed: []byte("last"), Created: epoch}}
		if !reflect.DeepEqual(list, want) {
			k.Fatalf("the sealing keys are %+v, want %+v", list, want)
		}
		list[0].Sealed[0] = 'X' // nothing is shared
	}
	put(1, 0, "one again")
}
