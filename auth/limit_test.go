package auth_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tributary"
	"tributary/auth"
	"tributary/awswire"
)

// asked is a request from an address that proxies say more of.
func asked(from string, forwarded ...string) *http.Request {
	r := httptest.NewRequest("POST", "/", nil)
	r.RemoteAddr = from
	for _, entry := range forwarded {
		r.Header.Add("X-Forwarded-For", entry)
	}
	return r
}

// granted is how many of n requests are admitted.
func granted(t *testing.T, n int, ask func() error) int {
	t.Helper()
	ok := 0
	for range n {
		err := ask()
		if err == nil {
			ok++
		} else if tributary.KindOf(err) != tributary.Throttled || !strings.Contains(tributary.Message(err), "requests per second") {
			t.Fatalf("refused with %v", err)
		}
	}
	return ok
}

// TestLimits: two seconds' worth at once, then the rate, for each identity by
// itself and for its pool; developers have none.
func TestLimits(t *testing.T) {
	clock := time.Now()
	l := &auth.Limits{Identity: 5, Pool: 8, Now: func() time.Time { return clock }}
	var who tributary.Principal
	var refusal error
	authenticate := l.Wrap(func(*http.Request, awswire.ReadBody) (tributary.Principal, error) { return who, refusal })
	ask := func(n int, p tributary.Principal) int {
		t.Helper()
		who = p
		return granted(t, n, func() error { _, err := authenticate(asked("192.0.2.1:1"), nil); return err })
	}
	a, b, other := tributary.Principal{Pool: "p", Identity: "a"}, tributary.Principal{Pool: "p", Identity: "b"}, tributary.Principal{Pool: "q", Identity: "c"}
	who, refusal = a, errors.New("wrong signature")
	for range 100 { // what is not proven to be a's is not counted as a's
		if _, err := authenticate(asked("192.0.2.1:1"), nil); err != refusal {
			t.Fatal(err)
		}
	}
	refusal = nil
	for _, c := range []struct {
		name      string
		who       tributary.Principal
		ask, want int
	}{
		{"two seconds' worth", a, 30, 10},
		{"what the pool has left", b, 30, 6},
		{"another pool", other, 30, 10},
		{"a developer", tributary.Principal{Account: "123456789012", AccessKey: "AKIA"}, 1000, 1000},
	} {
		if have := ask(c.ask, c.who); have != c.want {
			t.Errorf("%s: %d of %d, want %d", c.name, have, c.ask, c.want)
		}
	}
	clock = clock.Add(time.Second)
	if have := ask(30, a); have != 5 {
		t.Errorf("a second later: %d, want 5", have)
	}
	clock = clock.Add(time.Hour)
	if have := ask(30, a); have != 10 {
		t.Errorf("an hour later: %d, want 10", have)
	}
}

// TestNoLimits: 0 is no limit.
func TestNoLimits(t *testing.T) {
	l := &auth.Limits{}
	authenticate := l.Wrap(func(*http.Request, awswire.ReadBody) (tributary.Principal, error) {
		return tributary.Principal{Pool: "p", Identity: "a"}, nil
	})
	both := func() error {
		_, err := authenticate(nil, nil)
		return errors.Join(err, l.Admit(asked("192.0.2.1:1")))
	}
	if have := granted(t, 10_000, both); have != 10_000 {
		t.Errorf("%d of 10000", have)
	}
}

// TestClientAddress: whom a request without a signature counts for.
func TestClientAddress(t *testing.T) {
	for _, c := range []struct {
		name    string
		proxies int
		a, b    *http.Request
		same    bool
	}{
		{"ports", 0, asked("192.0.2.1:1"), asked("192.0.2.1:2"), true},
		{"addresses", 0, asked("192.0.2.1:1"), asked("192.0.2.2:1"), false},
		{"mapped", 0, asked("192.0.2.1:1"), asked("[::ffff:192.0.2.1]:1"), true},
		{"one network of IPv6", 0, asked("[2001:db8::1]:1"), asked("[2001:db8::ffff:2]:1"), true},
		{"networks of IPv6", 0, asked("[2001:db8::1]:1"), asked("[2001:db8:0:1::1]:1"), false},
		{"zones", 0, asked("[fe80::1%a]:1"), asked("[fe80::1%b]:1"), true},
		{"an invented entry", 0, asked("192.0.2.1:1", "198.51.100.1"), asked("192.0.2.1:1", "198.51.100.2"), true},
		{"behind a proxy", 1, asked("192.0.2.1:1", "198.51.100.1"), asked("192.0.2.1:1", "198.51.100.2"), false},
		{"behind either of two", 1, asked("192.0.2.1:1", "198.51.100.1"), asked("192.0.2.2:1", "198.51.100.1"), true},
		{"invented before a proxy's", 1, asked("192.0.2.1:1", "203.0.113.1, 198.51.100.1"), asked("192.0.2.1:1", "203.0.113.2, 198.51.100.1"), true},
		{"in a line of its own", 1, asked("192.0.2.1:1", "203.0.113.1", "198.51.100.1"), asked("192.0.2.1:1", "203.0.113.2,198.51.100.1"), true},
		{"behind two", 2, asked("192.0.2.1:1", "198.51.100.1, 10.0.0.1"), asked("192.0.2.1:1", "198.51.100.2, 10.0.0.1"), false},
		{"past the first of two", 2, asked("192.0.2.1:1", "198.51.100.1"), asked("192.0.2.1:1", "198.51.100.2"), false},
		{"with ports", 1, asked("192.0.2.1:1", "198.51.100.1:5"), asked("192.0.2.1:1", "198.51.100.1:6"), true},
		{"past the proxy", 1, asked("192.0.2.1:1"), asked("192.0.2.2:1"), false},
		{"nonsense", 1, asked("192.0.2.1:1", "unknown"), asked("192.0.2.1:1", "secret"), true},
		{"empty", 1, asked("192.0.2.1:1", ""), asked("192.0.2.2:1", ""), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			clock := time.Now()
			l := &auth.Limits{Public: 1, Proxies: c.proxies, Now: func() time.Time { return clock }}
			if n := granted(t, 5, func() error { return l.Admit(c.a) }); n != 2 {
				t.Errorf("the first got %d, want 2", n)
			}
			want := 2
			if c.same {
				want = 0
			}
			if n := granted(t, 5, func() error { return l.Admit(c.b) }); n != want {
				t.Errorf("the second got %d, want %d", n, want)
			}
		})
	}
}

// TestUnknownProxy: a proxy whose clients would count as one is reported, once.
func TestUnknownProxy(t *testing.T) {
	var log bytes.Buffer
	for proxies, want := range []int{1, 0} {
		log.Reset()
		l := &auth.Limits{Public: 100, Proxies: proxies, Log: slog.New(slog.NewTextHandler(&log, nil))}
		for range 3 {
			_ = l.Admit(asked("192.0.2.1:1", "198.51.100.1"))
		}
		if n := strings.Count(log.String(), "--proxies 1"); n != want {
			t.Errorf("%d proxies: reported %d times, want %d", proxies, n, want)
		}
	}
}

// TestBuckets holds random programs to token buckets that are never forgotten.
func TestBuckets(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 50 {
		rate := 1 + rng.IntN(20)
		price := time.Second / time.Duration(rate)
		clock := time.Now()
		l := &auth.Limits{Public: rate, Now: func() time.Time { return clock }}
		held, last := map[string]time.Duration{}, map[string]time.Time{}
		for range 2000 {
			clock = clock.Add(time.Duration(rng.Int64N(int64(price) / 2)))
			if rng.IntN(200) == 0 {
				clock = clock.Add(time.Duration(rng.Int64N(int64(5 * time.Second))))
			}
			from := fmt.Sprintf("192.0.2.%d:1", rng.IntN(4))
			if at, ok := last[from]; ok {
				held[from] = min(2*time.Second, held[from]+clock.Sub(at))
			} else {
				held[from] = 2 * time.Second
			}
			last[from] = clock
			want := held[from] >= price
			if want {
				held[from] -= price
			}
			if have := l.Admit(asked(from)) == nil; have != want {
				t.Fatalf("rate %d, %s: admitted %v, want %v", rate, from, have, want)
			}
		}
	}
}

// TestManyStrangers: memory is bounded, and what came last is still known.
func TestManyStrangers(t *testing.T) {
	const strangers, most = 300_000, 2 << 16
	clock := time.Now()
	l := &auth.Limits{Public: 1, Now: func() time.Time { return clock }}
	for i := range strangers {
		if err := l.Admit(asked(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255))); err != nil {
			t.Fatal(err)
		}
	}
	if n := l.Remembered(); n > most {
		t.Errorf("%d are remembered, want %d at most", n, most)
	}
	last := asked(fmt.Sprintf("10.%d.%d.%d:1", (strangers-1)>>16, (strangers-1)>>8&255, (strangers-1)&255))
	if n := granted(t, 5, func() error { return l.Admit(last) }); n != 1 {
		t.Errorf("the last one got %d more, want 1", n)
	}
	clock = clock.Add(time.Minute)
	for range 3 { // when all are gone, so is their memory
		_ = l.Admit(last)
		clock = clock.Add(3 * time.Second)
	}
	if n := l.Remembered(); n > 2 {
		t.Errorf("%d are remembered at the end", n)
	}
}

// BenchmarkLimit is what the limits add to a request of an identity, one among
// many.
func BenchmarkLimit(b *testing.B) {
	ids := make([]tributary.Principal, 10_000)
	for i := range ids {
		ids[i] = tributary.Principal{Pool: "us-east-1:11111111-2222-4333-8444-555555555555", Identity: tributary.IdentityID(fmt.Sprintf("us-east-1:66666666-7777-4888-8999-%012d", i))}
	}
	bench := func(l *auth.Limits) func(*testing.B) {
		return func(b *testing.B) {
			n := 0
			authenticate := l.Wrap(func(*http.Request, awswire.ReadBody) (tributary.Principal, error) {
				n++
				return ids[n%len(ids)], nil
			})
			b.ReportAllocs()
			for b.Loop() {
				_, _ = authenticate(nil, nil)
			}
		}
	}
	b.Run("None", bench(&auth.Limits{}))
	b.Run("Identity", bench(&auth.Limits{Identity: 1_000_000}))
	b.Run("Both", bench(&auth.Limits{Identity: 1_000_000, Pool: 1_000_000_000}))
	b.Run("Public", func(b *testing.B) {
		l, r := &auth.Limits{Public: 1_000_000_000}, asked("192.0.2.1:1234")
		b.ReportAllocs()
		for b.Loop() {
			_ = l.Admit(r)
		}
	})
}
