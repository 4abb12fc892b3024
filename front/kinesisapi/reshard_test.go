package kinesisapi_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"tributary"
	"tributary/streamrec"
)

// TestReshardOrder splits, merges and scales a stream at random while many
// identities write and developers put records. One who follows parents before
// children sees every dataset's sync counts rise by one, and all of them.
func TestReshardOrder(t *testing.T) {
	const identities, putters, each, perReshard = 5, 2, 25, 5
	k := newKit(t)
	k.stream("s", 1)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)

	saw := map[string]int64{}
	numbers := map[tributary.Position]bool{}
	f := newFollower(k, "s", func(r record) {
		key, count := "put "+r.PartitionKey, int64(0)
		if n, err := fmt.Sscanf(string(r.Data), "%d", &count); n != 1 || err != nil {
			c, _, err := streamrec.Decode(r.Data)
			k.ok(err)
			key, count = fmt.Sprint(c.Key), c.SyncCount
		}
		if count != saw[key]+1 {
			t.Fatalf("%s: %d after %d, at %s", key, count, saw[key], r.SequenceNumber)
		}
		if saw[key] = count; numbers[r.SequenceNumber] {
			t.Fatalf("%s was seen twice", r.SequenceNumber)
		}
		numbers[r.SequenceNumber] = true
	})

	var writers, resharder sync.WaitGroup
	wrote := make(chan struct{}, (identities+putters)*each)
	for n := range identities {
		id := tributary.IdentityID(fmt.Sprintf("eu-west-1:%08d-1111-4111-8111-111111111111", n))
		_, err := k.svc.CreateIdentity(t.Context(), dev(), tributary.Identity{ID: id, Pool: pool})
		k.ok(err)
		writers.Go(func() {
			for i := range each {
				k.write(id, "d", "a", fmt.Sprint(i))
				wrote <- struct{}{}
			}
		})
	}
	for n := range putters {
		writers.Go(func() {
			for i := range each {
				call[obj](k, "PutRecord", obj{"StreamName": "s", "PartitionKey": fmt.Sprint("key", n), "Data": fmt.Appendf(nil, "%d", i+1)})
				wrote <- struct{}{}
			}
		})
	}
	resharder.Go(func() {
		rng, n := rand.New(rand.NewPCG(seed, 1)), 0
		for range wrote {
			if n++; n%perReshard == 0 {
				k.reshard(rng, "s")
			}
		}
	})
	var done atomic.Bool
	go func() {
		writers.Wait()
		close(wrote)
		resharder.Wait()
		done.Store(true)
	}()
	for !done.Load() {
		f.read(7)
	}
	for f.read(100) {
	}
	for key, count := range saw {
		if count != each {
			t.Errorf("%s: seen up to %d of %d", key, count, each)
		}
	}
	if len(saw) != identities+putters {
		t.Errorf("%d keys", len(saw))
	}
}

// reshard makes one change of a stream's shards.
func (k *kit) reshard(rng *rand.Rand, name string) {
	k.Helper()
	open := call[shards](k, "ListShards", obj{"StreamName": name, "ShardFilter": obj{"Type": "AT_LATEST"}}).Shards
	one := open[rng.IntN(len(open))]
	var w int
	switch what := rng.IntN(3); {
	case what == 0 && len(open) < 8:
		from, _ := new(big.Int).SetString(one.HashKeyRange.StartingHashKey, 10)
		to, _ := new(big.Int).SetString(one.HashKeyRange.EndingHashKey, 10)
		middle := from.Rsh(from.Add(from, to), 1)
		w = k.send("SplitShard", obj{"StreamName": name, "ShardToSplit": one.ShardID, "NewStartingHashKey": middle.String()}).Code
	case what == 1:
		w = http.StatusOK
		for _, other := range open {
			end, _ := new(big.Int).SetString(one.HashKeyRange.EndingHashKey, 10)
			if other.HashKeyRange.StartingHashKey == end.Add(end, big.NewInt(1)).String() {
				w = k.send("MergeShards", obj{"StreamName": name, "ShardToMerge": one.ShardID, "AdjacentShardToMerge": other.ShardID}).Code
			}
		}
	default:
		n := (len(open)+1)/2 + rng.IntN(len(open)+1)
		w = k.send("UpdateShardCount", obj{"StreamName": name, "TargetShardCount": min(n, 8), "ScalingType": "UNIFORM_SCALING"}).Code
	}
	if w != http.StatusOK {
		k.Errorf("a reshard of %d shards is answered %d", len(open), w)
	}
}
