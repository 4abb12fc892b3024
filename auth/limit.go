package auth

import (
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"tributary"
	"tributary/awswire"
)

// Limits bounds how often is asked: by an identity, by a pool's identities
// together, and from one address without a signature. Developers have no limit.
// All figures are requests per second, of which two seconds' worth may come at
// once; 0 is no limit. Each process counts for itself, so that behind something
// that spreads requests over N nodes up to N times as many are answered.
type Limits struct {
	Identity int // of one identity
	Pool     int // of a pool's identities together
	Public   int // to operations that need no signature, of one address; of one /64 in IPv6
	// Proxies is how many proxies are in front of the server, each of which adds
	// to X-Forwarded-For the address that it was asked from.
	Proxies int
	Log     *slog.Logger     // nil: no log
	Now     func() time.Time // nil: time.Now

	once  sync.Once
	start time.Time // later times are lengths from here, which no change of the clock alters

	identities buckets[tributary.IdentityID]
	pools      buckets[tributary.PoolID]
	addresses  buckets[netip.Addr]
	reported   sync.Once // that there is a proxy which nobody spoke of
}

// Authenticate proves who signed a request, as [Auth.Authenticate] does.
type Authenticate func(r *http.Request, read awswire.ReadBody) (tributary.Principal, error)

// Wrap gives authenticate with the limits of an identity and its pool, which
// count only what was proven to come from there.
//
// Errors: those of authenticate; Throttled.
func (l *Limits) Wrap(authenticate Authenticate) Authenticate {
	if l.Identity == 0 && l.Pool == 0 {
		return authenticate
	}
	return func(r *http.Request, read awswire.ReadBody) (tributary.Principal, error) {
		p, err := authenticate(r, read)
		if err == nil && p.Identity != "" {
			err = l.admitIdentity(&p)
		}
		return p, err
	}
}

func (l *Limits) admitIdentity(p *tributary.Principal) error {
	now := l.now()
	if !l.identities.take(p.Identity, l.Identity, now) {
		return exceeded(l.Identity, "of one identity")
	}
	if !l.pools.take(p.Pool, l.Pool, now) {
		return exceeded(l.Pool, "of all identities of a pool")
	}
	return nil
}

// Admit refuses a request without a signature if too many came from its
// address.
//
// Errors: Throttled.
func (l *Limits) Admit(r *http.Request) error {
	if l.Public == 0 || l.addresses.take(network(l.Client(r)), l.Public, l.now()) {
		return nil
	}
	return exceeded(l.Public, "without a signature from one address")
}

func exceeded(rate int, whose string) error {
	return tributary.Errorf(tributary.Throttled, "limit", "Rate exceeded: at most %d requests per second %s are answered. Try again.", rate, whose)
}

func (l *Limits) now() time.Duration {
	now := l.Now
	if now == nil {
		now = time.Now
	}
	l.once.Do(func() { l.start = now() })
	return now().Sub(l.start)
}

// forwardedFor is the header in which proxies tell whom they ask for.
const forwardedFor = "X-Forwarded-For"

// Client is the address that a request comes from. What stands to the left of
// the proxies' own entries is the client's invention.
func (l *Limits) Client(r *http.Request) netip.Addr {
	entries := r.Header[forwardedFor]
	switch {
	case l.Proxied(r):
		all := strings.Split(strings.Join(entries, ","), ",")
		if a, ok := parseAddress(strings.TrimSpace(all[max(0, len(all)-l.Proxies)])); ok {
			return a
		}
	case len(entries) > 0:
		l.reported.Do(l.reportProxy)
	}
	a, _ := parseAddress(r.RemoteAddr) // strangers without an address share one bucket
	return a
}

// Proxied tells whether a request came through the proxies that there are.
func (l *Limits) Proxied(r *http.Request) bool {
	return l.Proxies > 0 && len(r.Header[forwardedFor]) > 0
}

func (l *Limits) reportProxy() {
	if l.Log != nil {
		l.Log.Warn("requests come through a proxy, whose clients count as one for --public-rate: say --proxies 1 if it adds to X-Forwarded-For, else --public-rate 0")
	}
}

// parseAddress reads an address with or without a port.
func parseAddress(text string) (netip.Addr, bool) {
	at, err := netip.ParseAddrPort(text)
	a := at.Addr()
	if err != nil {
		a, err = netip.ParseAddr(text)
	}
	return a.Unmap().WithZone(""), err == nil
}

// network is whom an address stands for: whoever has one of IPv6 has its /64.
func network(a netip.Addr) netip.Addr {
	if a.Is6() {
		const bits = 64
		a = netip.PrefixFrom(a, bits).Masked().Addr()
	}
	return a
}

// buckets are token buckets by key.
type buckets[K comparable] struct {
	mu sync.Mutex
	// full is when each key's bucket will be full: one number says all of a
	// bucket. before is the generation that went before, in which all are full by
	// the time that it is dropped, so that nothing is forgotten that matters.
	full, before map[K]time.Duration
	began        time.Duration // of full
}

const (
	// depth is the time in which an empty bucket fills.
	depth = 2 * time.Second
	// mostBuckets bounds a generation. Beyond it those of the longest silence are
	// forgotten early: memory is bounded rather than strangers in their thousands.
	mostBuckets = 1 << 16
)

// take takes one of rate tokens a second; false if there is none. A rate of 0
// is no limit.
func (b *buckets[K]) take(key K, rate int, now time.Duration) bool {
	if rate == 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.full == nil || now-b.began >= depth || len(b.full) >= mostBuckets {
		b.before, b.full, b.began = b.full, map[K]time.Duration{}, now
	}
	full, ok := b.full[key]
	if !ok {
		full = b.before[key]
	}
	if full = max(full, now) + time.Second/time.Duration(rate); full > now+depth {
		return false
	}
	b.full[key] = full
	return true
}
