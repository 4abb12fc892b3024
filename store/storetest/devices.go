package storetest

import (
	"strings"

	"tributary"
)

func deviceCases() []testCase {
	return []testCase{
		{"Fields", deviceFields},
		{"Stale", deviceStale},
		{"NotFound", deviceNotFound},
		{"Order", deviceOrder},
		{"Delete", deviceDelete},
		{"WithItsIdentity", deviceWithIdentity},
		{"NothingShared", deviceNothingShared},
	}
}

func device(identity tributary.IdentityID, id tributary.DeviceID) tributary.Device {
	return tributary.Device{ID: id, Identity: identity, Platform: "GCM", Token: "token of " + string(identity), Created: epoch}
}

func (k *kit) device(identity tributary.IdentityID, id tributary.DeviceID) tributary.Device {
	k.Helper()
	return got(k.s.Device(k.Context(), identity, id))(k)
}

func (k *kit) devices(identity tributary.IdentityID) []tributary.Device {
	k.Helper()
	return got(k.s.Devices(k.Context(), identity))(k)
}

func deviceFields(k *kit) {
	k.world()
	want := device(ann, "d")
	want.Platform, want.Token, want.Endpoint = "APNS_SANDBOX", "Ωmega \"<&>'\x00", "arn:aws:sns:eu-west-1:000000000000:endpoint/GCM/app/1"
	want.Datasets = []tributary.DatasetName{"notes", "a.b-c:_"}
	k.ok(k.s.PutDevice(k.Context(), want))
	want.Revision = 1
	d := k.device(ann, "d")
	k.same("device", deviceText(&d), deviceText(&want))
	want.Platform, want.Token, want.Endpoint, want.Datasets, want.Created = "ADM", "", "", nil, epoch+1
	k.ok(k.s.PutDevice(k.Context(), want))
	want.Revision = 2
	d = k.device(ann, "d")
	k.same("device put again", deviceText(&d), deviceText(&want))
	k.same("devices", texts(k.devices(ann), deviceText), deviceText(&want))
}

func deviceStale(k *kit) {
	k.world()
	late := device(ann, "d")
	late.Revision = 1
	k.kind(k.s.PutDevice(k.Context(), late), tributary.Stale)
	_, err := k.s.Device(k.Context(), ann, "d")
	k.kind(err, tributary.NotFound)
	k.ok(k.s.PutDevice(k.Context(), device(ann, "d")))
	k.ok(k.s.PutDevice(k.Context(), k.device(ann, "d")))
	before := k.device(ann, "d")
	for _, revision := range []int64{0, 1, 3, -1} {
		late.Revision, late.Token = revision, "late"
		k.kind(k.s.PutDevice(k.Context(), late), tributary.Stale)
	}
	after := k.device(ann, "d")
	k.same("device after stale puts", deviceText(&after), deviceText(&before))
}

func deviceNotFound(k *kit) {
	ctx := k.Context()
	k.world()
	k.ok(k.s.PutDevice(ctx, device(ann, "d")))
	k.kind(k.s.PutDevice(ctx, device(bob, "d")), tributary.NotFound)
	for _, at := range []struct {
		identity tributary.IdentityID
		id       tributary.DeviceID
	}{{bob, "d"}, {ann, "D"}, {ann, "d\x00"}, {ann + "1", "d"}} {
		_, err := k.s.Device(ctx, at.identity, at.id)
		k.kind(err, tributary.NotFound)
		k.kind(k.s.DeleteDevice(ctx, at.identity, at.id), tributary.NotFound)
	}
	if list := k.devices(bob); len(list) != 0 {
		k.Fatalf("nobody has the devices\n%s", texts(list, deviceText))
	}
}

// deviceOrder: ids may hold anything, and other identities' are not listed.
func deviceOrder(k *kit) {
	k.world()
	near := []tributary.IdentityID{ann + "0", ann + "-", ann[:len(ann)-1]}
	for _, id := range near {
		k.identity(id, poolA)
		k.ok(k.s.PutDevice(k.Context(), device(id, "of another")))
	}
	ids := []tributary.DeviceID{
		"\x00", "\x00\x00", " ", "'; DROP TABLE devices", "A", "Z", "\\", "a", "a\x00", "a\x00b", "a ", "a0", "aa",
		tributary.DeviceID(strings.Repeat("m", 256)), "z", "\u00e9", tributary.DeviceID(strings.Repeat("\U0001f600", 256)),
	}
	want := make([]tributary.Device, len(ids))
	for n := range ids {
		i := (n * 7) % len(ids)
		want[i] = device(ann, ids[i])
		k.ok(k.s.PutDevice(k.Context(), want[i]))
		want[i].Revision = 1
	}
	k.same("devices", texts(k.devices(ann), deviceText), texts(want, deviceText))
	for i := range want {
		d := k.device(ann, ids[i])
		k.same("device", deviceText(&d), deviceText(&want[i]))
	}
	for _, id := range near {
		if list := k.devices(id); len(list) != 1 || list[0].ID != "of another" || list[0].Identity != id {
			k.Fatalf("%s has the devices\n%s", id, texts(list, deviceText))
		}
	}
}

// deviceDelete: a device that is gone can be made again, and leaves others alone.
func deviceDelete(k *kit) {
	ctx := k.Context()
	k.world()
	for _, id := range []tributary.DeviceID{"d", "d1", "e"} {
		k.ok(k.s.PutDevice(ctx, device(ann, id)))
	}
	k.ok(k.s.PutDevice(ctx, k.device(ann, "d")))
	k.ok(k.s.DeleteDevice(ctx, ann, "d"))
	k.kind(k.s.DeleteDevice(ctx, ann, "d"), tributary.NotFound)
	if list := k.devices(ann); len(list) != 2 || list[0].ID != "d1" || list[1].ID != "e" {
		k.Fatalf("left are\n%s", texts(list, deviceText))
	}
	late := device(ann, "d")
	late.Revision = 2
	k.kind(k.s.PutDevice(ctx, late), tributary.Stale)
	k.ok(k.s.PutDevice(ctx, device(ann, "d")))
	if d := k.device(ann, "d"); d.Revision != 1 {
		k.Fatalf("made again the device is %s", deviceText(&d))
	}
}

// deviceWithIdentity: devices stay as their identity changes, and go with it.
func deviceWithIdentity(k *kit) {
	ctx := k.Context()
	key := k.world()
	k.identity(bob, poolA)
	for _, id := range []tributary.IdentityID{ann, bob} {
		k.ok(k.s.PutDevice(ctx, device(id, "one")))
		k.ok(k.s.PutDevice(ctx, device(id, "two")))
	}
	k.sync(key, put("a", "1"))
	i := got(k.s.Identity(ctx, ann))(k)
	i.Disabled, i.Logins = true, []tributary.Login{google}
	k.ok(k.s.PutIdentity(ctx, i))
	k.kind(k.s.DeleteIdentity(ctx, ann), tributary.Exists)
	if list := k.devices(ann); len(list) != 2 {
		k.Fatalf("of two devices are left\n%s", texts(list, deviceText))
	}
	k.drop(key)
	k.ok(k.s.DeleteIdentity(ctx, ann))
	for _, again := range []bool{true, false} { // gone, and not there when it is made again
		if list := k.devices(ann); len(list) != 0 {
			k.Fatalf("an identity that was deleted has\n%s", texts(list, deviceText))
		}
		_, err := k.s.Device(ctx, ann, "one")
		k.kind(err, tributary.NotFound)
		if again {
			k.identity(ann, poolA)
		}
	}
	if list := k.devices(bob); len(list) != 2 {
		k.Fatalf("another identity has\n%s", texts(list, deviceText))
	}
}

func deviceNothingShared(k *kit) {
	k.world()
	in := device(ann, "d")
	in.Datasets = []tributary.DatasetName{"a", "b"}
	k.ok(k.s.PutDevice(k.Context(), in))
	in.Datasets[0] = "X"
	for range 2 {
		d, list := k.device(ann, "d"), k.devices(ann)
		if d.Datasets[0] != "a" || list[0].Datasets[0] != "a" {
			k.Fatalf("the device became %s, %s", deviceText(&d), deviceText(&list[0]))
		}
		d.Datasets[0], list[0].Datasets[0] = "X", "X"
	}
}
