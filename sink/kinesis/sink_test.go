package kinesis_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tributary"
	"tributary/streamrec"
)

// seeds are those of a random test; TRIBUTARY_SEED repeats one.
func seeds(t *testing.T, n int) []uint64 {
	t.Helper()
	if text := os.Getenv("TRIBUTARY_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return []uint64{seed}
	}
	if soak, err := strconv.Atoi(os.Getenv("TRIBUTARY_SOAK")); err == nil {
		n *= soak
	}
	first := uint64(time.Now().UnixNano())
	out := make([]uint64, n)
	for i := range out {
		out[i] = first + uint64(i)
	}
	return out
}

// TestOrder: whatever fails, a reader sees every identity's sync counts rise
// without a gap, and all of them.
func TestOrder(t *testing.T) {
	for _, seed := range seeds(t, 20) {
		t.Run(fmt.Sprintf("TRIBUTARY_SEED=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, seed)
				rng := rand.New(rand.NewPCG(seed, 1))
				broken, part := rng.Float64()/2, rng.Float64()
				w.fake.fault = func(rng *rand.Rand, _ int) fault {
					f := fault{written: rng.IntN(2) == 0, late: rng.IntN(4) == 0}
					if rng.Float64() < broken {
						f.err = []error{errServer, errNetwork, context.DeadlineExceeded}[rng.IntN(3)]
					}
					if rng.Float64() < .5 {
						f.refuse = part
					}
					return f
				}
				entries, last := batch(rng, 1+rng.IntN(700), 1+rng.IntN(3000))
				w.deliver(entries, time.Hour)
				w.fake.later.Wait()
				repeats := w.fake.check(last)
				if w.sent != len(entries) {
					t.Errorf("%d of %d records were counted", w.sent, len(entries))
				}
				if repeats > 0 && broken == 0 {
					t.Errorf("%d repeats without a reason", repeats)
				}
			})
		})
	}
}

// TestAgain: a batch that was delivered can be delivered again, and one that
// was delivered in part goes on where it was.
func TestAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		entries, last := batch(w.fake.rng, 20, 200)
		w.fake.fault = func(_ *rand.Rand, call int) fault {
			if call > 5 {
				return fault{err: errNetwork}
			}
			return fault{}
		}
		lease := tributary.Lease{Shard: shard}
		if err := w.sink.Deliver(t.Context(), lease, entries); !errors.Is(err, errNetwork) {
			t.Fatalf("the network's end was told as %v", err)
		}
		before := w.fake.calls
		if err := w.sink.Deliver(t.Context(), lease, entries); !errors.Is(err, errNetwork) || w.fake.calls > before+4 {
			t.Errorf("%d calls more, %v: a second time it should give up at once", w.fake.calls-before, err)
		}
		w.fake.fault = nil
		w.deliver(entries, time.Minute)
		if repeats := w.fake.check(last); repeats != 0 {
			t.Errorf("%d records were sent again that had been confirmed", repeats)
		}
		w.deliver(entries, time.Minute)
		if repeats := w.fake.check(last); repeats != len(entries) {
			t.Errorf("%d repeats of %d records", repeats, len(entries))
		}
	})
}

// TestParallel: different identities do not wait for each other.
func TestParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.fake.takes = time.Second
		entries, last := batch(w.fake.rng, 4000, 4000)
		w.deliver(entries, time.Minute)
		w.fake.check(last)
		if w.fake.most != 4 {
			t.Errorf("%d calls at a time, want 4", w.fake.most)
		}
	})
}

// TestLimits: no call is larger than Kinesis takes, which the fake holds it to.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		var entries []tributary.Entry
		last := map[string]int64{}
		for n := range 40 {
			id := fmt.Sprintf("eu-west-1:%012x", n)
			entries, last[id] = append(entries, entry(uint64(n+1), id, 1, strings.Repeat("x", 600<<10))), 1
		}
		w.deliver(entries, time.Minute)
		w.fake.check(last)
	})
}

// TestPermanent: what a person must end turns the stream off after a while,
// with a reason that says what to do; Kinesis is then left alone until it is on
// again, and nothing is lost.
func TestPermanent(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"Gone", errGone, "Stream far does not exist in eu-west-1 (Stream far under account 000000000000 not found)"},
		{"Denied", errDenied, "Its policy must allow kinesis:PutRecords"},
		{"Role", errRole, "Role arn:aws:iam::123456789012:role/far cannot be assumed"},
		{"Refused", errRefuses, "Stream far in eu-west-1 refuses a record (InvalidArgumentException: Value too long)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1)
				entries, last := batch(w.fake.rng, 10, 100)
				w.fake.fault = func(_ *rand.Rand, call int) fault {
					if call > 3 {
						return fault{err: c.err}
					}
					return fault{}
				}
				began := time.Now()
				lease := tributary.Lease{Shard: shard}
				other := tributary.Shard{Stream: shard.Stream, Number: 1}
				others := []tributary.Entry{entry(1, "o", 1, "v")}
				others[0].Position = tributary.PositionOf(other, 1)
				for w.streams.reason() == "" && time.Since(began) < time.Hour {
					if err := w.sink.Deliver(t.Context(), tributary.Lease{Shard: other}, others); err == nil && w.fake.calls > 3 {
						t.Fatal("delivered")
					}
					if err := w.sink.Deliver(t.Context(), lease, entries); err == nil {
						t.Fatal("delivered")
					}
					time.Sleep(time.Second)
				}
				if took := time.Since(began); took < 30*time.Second || took > 40*time.Second {
					t.Errorf("turned off after %v", took)
				}
				if got := w.streams.reason(); !strings.HasPrefix(got, c.want) && !strings.Contains(got, c.want) || !strings.HasSuffix(got, "ENABLED: what was not sent is kept, and is sent then.") {
					t.Errorf("the reason is %q", got)
				}
				calls := w.fake.calls
				if err := w.sink.Deliver(t.Context(), lease, entries); err == nil || w.fake.calls != calls {
					t.Errorf("%v, %d calls to a stream that is off", err, w.fake.calls-calls)
				}
				// On again while it still fails: it is given its time anew, all its
				// shards are.
				w.streams.turn("")
				for of, batch := range map[tributary.Shard][]tributary.Entry{shard: entries, other: others} {
					if err := w.sink.Deliver(t.Context(), tributary.Lease{Shard: of}, batch); err == nil || w.streams.reason() != "" {
						t.Errorf("turned off at once: %v", err)
					}
				}
				w.fake.fault = nil
				w.deliver(entries, time.Minute)
				if repeats := w.fake.check(last); repeats != 0 {
					t.Errorf("%d repeats", repeats)
				}
			})
		})
	}
}

// TestPassing: what may pass never turns the stream off, however long it lasts.
func TestPassing(t *testing.T) {
	for name, err := range map[string]error{"Network": errNetwork, "Server": errServer, "OwnCredentials": errOwn, "Timeout": context.DeadlineExceeded} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1)
				entries, last := batch(w.fake.rng, 10, 100)
				down := time.Now().Add(time.Hour)
				w.fake.fault = func(*rand.Rand, int) fault {
					if time.Now().Before(down) {
						return fault{err: err}
					}
					return fault{}
				}
				w.deliver(entries, 2*time.Hour)
				w.fake.check(last)
				if why := w.streams.reason(); why != "" {
					t.Errorf("turned off: %s", why)
				}
			})
		})
	}
}

// TestPermanentEnds: a failure that ends in time turns nothing off, and one that
// comes later has its time anew.
func TestPermanentEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		began := time.Now()
		w.fake.fault = func(*rand.Rand, int) fault {
			if since := time.Since(began); since < 25*time.Second || since > 30*time.Second && since < 55*time.Second {
				return fault{err: errDenied}
			}
			return fault{}
		}
		entries, last := batch(w.fake.rng, 1, 4000) // a call each
		w.deliver(entries, time.Hour)
		w.fake.check(last)
		if took := time.Since(began); took < 55*time.Second || w.streams.reason() != "" {
			t.Errorf("after %v turned off: %s", took, w.streams.reason())
		}
	})
}

// TestHang: a call that is never answered ends, and holds no memory for ever.
func TestHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.fake.takes = 1000 * time.Hour
		entries, _ := batch(w.fake.rng, 10, 100)
		began := time.Now()
		err := w.sink.Deliver(t.Context(), tributary.Lease{Shard: shard}, entries)
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > 21*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		if w.codes["Timeout"] == 0 {
			t.Errorf("the failures are counted as %v", w.codes)
		}
	})
}

// fakeBucket is no bucket: it keeps what it is given in memory.
type fakeBucket struct {
	mu   sync.Mutex
	down bool
	got  map[string]string
}

func (b *fakeBucket) Put(_ context.Context, k tributary.DatasetKey, records []byte) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return "", errDenied // of the bucket, not of the stream
	}
	link := fmt.Sprintf("https://bucket/%s/%d", k.Identity, len(records))
	b.got[link] = string(records)
	return link, nil
}

// TestLarge: an update above the inline limit goes to the bucket before its
// record goes out; without one it stays in its record, if Kinesis takes it.
func TestLarge(t *testing.T) {
	large := strings.Repeat("x", streamrec.DefaultInlineLimit)
	t.Run("Bucket", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			b := &fakeBucket{down: true, got: map[string]string{}}
			w.sink.Bucket = b
			entries := []tributary.Entry{entry(1, "a", 1, "small"), entry(2, "a", 2, large), entry(3, "a", 3, "small"), entry(4, "b", 1, "small"), entry(5, "b", 2, strings.Repeat("x", 2<<20)), entry(6, "c", 1, "small"), entry(7, "c", 2, "small")}
			lease := tributary.Lease{Shard: shard}
			for began := time.Now(); time.Since(began) < 3*time.Minute; time.Sleep(5 * time.Second) {
				if err := w.sink.Deliver(t.Context(), lease, entries); err == nil {
					t.Fatal("delivered without a bucket")
				}
			}
			if why := w.streams.reason(); why != "" {
				t.Errorf("turned off: %s", why)
			}
			if len(w.fake.got["a"]) != 1 || len(w.fake.got["b"]) != 1 || len(w.fake.got["c"]) != 2 || w.codes["PayloadBucket"] == 0 {
				t.Errorf("while the bucket is down %d and %d records went out, failures %v", len(w.fake.got["a"]), len(w.fake.got["b"]), w.codes)
			}
			b.down = false
			w.deliver(entries, time.Minute)
			w.fake.check(map[string]int64{"a": 3, "b": 2})
			for key, n := range map[string]int{"a": 1, "b": 1} {
				c, link, err := streamrec.Decode(w.fake.got[key][n])
				if err != nil || link == "" || c.Records != nil {
					t.Fatalf("%+v, %q, %v", c, link, err)
				}
				records, err := streamrec.DecodeRecords([]byte(b.got[link]))
				if err != nil || len(records) != 1 || len(records[0].Value) < len(large) {
					t.Errorf("%s: %d records, %v", link, len(records), err)
				}
			}
		})
	})
	t.Run("NoBucket", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			entries := []tributary.Entry{entry(1, "a", 1, large), entry(2, "b", 1, strings.Repeat("x", 1<<20)), entry(3, "a", 2, "small")}
			if err := w.sink.Deliver(t.Context(), tributary.Lease{Shard: shard}, entries); err == nil {
				t.Fatal("delivered")
			}
			if why := w.streams.reason(); !strings.Contains(why, "--payload-bucket") || !strings.Contains(why, "dataset d of identity b") {
				t.Errorf("the reason is %q", why)
			}
			w.fake.check(map[string]int64{"a": 1}) // what stands before it went out
			w.streams.turn("")
			w.sink.Bucket = &fakeBucket{got: map[string]string{}}
			w.deliver(entries, time.Minute)
			if repeats := w.fake.check(map[string]int64{"a": 2, "b": 1}); repeats != 0 {
				t.Errorf("%d repeats", repeats)
			}
		})
	})
}

// slowBucket is no bucket: it takes an update when another record went out.
type slowBucket struct{ *world }

func (b slowBucket) Put(ctx context.Context, _ tributary.DatasetKey, _ []byte) (string, error) {
	for ctx.Err() == nil {
		b.fake.mu.Lock()
		n := len(b.fake.got["c"])
		b.fake.mu.Unlock()
		if n > 0 {
			return "https://bucket/", nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.Error("the records of others wait for the bucket")
	return "", ctx.Err()
}

// TestSlowBucket: a bucket that is slow delays no record of another identity.
func TestSlowBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.sink.Bucket = slowBucket{w}
		w.deliver([]tributary.Entry{entry(1, "a", 1, strings.Repeat("x", 60<<10)), entry(2, "c", 1, "small"), entry(3, "b", 1, strings.Repeat("x", 60<<10))}, time.Minute)
		w.fake.check(map[string]int64{"a": 1, "b": 1, "c": 1})
	})
}

// TestForeign: a record that a developer put there keeps its key and its bytes.
func TestForeign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		hash := tributary.HashOf("elsewhere")
		w.deliver([]tributary.Entry{{Position: tributary.PositionOf(shard, 1), Kind: tributary.EntryForeign, Foreign: &tributary.ForeignRecord{PartitionKey: "p", HashKey: hash, Data: []byte("raw")}}}, time.Minute)
		if got := w.fake.got["p"]; len(got) != 1 || string(got[0]) != "raw" || w.fake.hashes["p"] != hash.String() {
			t.Errorf("%q at %s", got, w.fake.hashes["p"])
		}
	})
}

// TestGone: a stream that is deleted here ends its delivery.
func TestGone(t *testing.T) {
	w := newWorld(t, 1)
	other := tributary.Shard{Stream: 8}
	e := entry(1, "a", 1, "v")
	e.Position = tributary.PositionOf(other, 1)
	if err := w.sink.Deliver(t.Context(), tributary.Lease{Shard: other}, []tributary.Entry{e}); tributary.KindOf(err) != tributary.NotFound {
		t.Errorf("%v", err)
	}
}
