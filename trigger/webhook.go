package trigger

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"syscall"
	"time"

	"tributary"
)

// Webhook posts events to addresses. They are signed as the Standard Webhooks
// specification has it.
type Webhook struct {
	// Key gives the key that signs what is sent to an address of a pool.
	Key func(pool tributary.PoolID, address string) ([]byte, error)
	TLS *tls.Config      // nil: with the system's roots
	Now func() time.Time // nil: time.Now

	once          sync.Once
	secure, local http.RoundTripper
}

// checkAddress tells why an address cannot be that of a webhook, "" if it can.
func checkAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "it must be the ARN of a function of AWS Lambda or an https URL"
	}
	ip, err := netip.ParseAddr(u.Hostname())
	switch {
	case u.User != nil || u.Fragment != "":
		return "the URL must have neither a user nor a fragment: calls are signed"
	case err == nil && offLimits(ip):
		return "link-local addresses are never called"
	case u.Scheme == "http" && u.Hostname() != "localhost" && (err != nil || !ip.Unmap().IsLoopback()):
		return "http is for this very machine (localhost) only: use https"
	}
	return ""
}

// metadata are addresses beyond the link-local ones at which clouds give
// credentials away to whoever asks.
var metadata = []netip.Addr{netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd20:ce::254")}

// nat64 is the prefix of IPv4 addresses for networks without IPv4.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// offLimits tells whether an address is never called.
func offLimits(ip netip.Addr) bool {
	ip = ip.WithZone("") // which would be part of the comparisons
	if nat64.Contains(ip) {
		all := ip.As16()
		ip = netip.AddrFrom4([4]byte(all[12:]))
	}
	for _, m := range metadata {
		if ip == m {
			return true
		}
	}
	return ip.IsLinkLocalUnicast() || ip.IsMulticast()
}

// guard looks at every address that is connected to, whatever its name said
// before.
func guard(loopback bool) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		switch {
		case err != nil:
			return err
		case offLimits(to.Addr()):
			return errors.New("link-local addresses are never called")
		case loopback && !to.Addr().Unmap().IsLoopback():
			return errors.New("http is for this very machine only")
		}
		return nil
	}
}

// open makes the transports. They are used without a client, which would follow
// redirects, and without a proxy, which would connect to what it is told.
func (w *Webhook) open() {
	transport := func(loopback bool) http.RoundTripper {
		return bounded{&http.Transport{
			DialContext:         (&net.Dialer{Timeout: patience, Control: guard(loopback)}).DialContext,
			TLSClientConfig:     w.TLS.Clone(),
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: mostCalls, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		}}
	}
	w.secure, w.local = transport(false), transport(true)
}

// call posts an event and gives the answer.
func (w *Webhook) call(ctx context.Context, pool tributary.PoolID, address string, event []byte) ([]byte, error) {
	w.once.Do(w.open)
	r, err := w.request(ctx, pool, address, event)
	if err != nil {
		return nil, err
	}
	transport := w.secure
	if r.URL.Scheme == "http" {
		transport = w.local
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	switch {
	case answer.StatusCode == http.StatusTooManyRequests:
		return nil, &failure{outcome: Throttled, what: "is called too often, it says. Try again"}
	case answer.StatusCode < 200 || answer.StatusCode > 299:
		return nil, &failure{outcome: Failed, what: fmt.Sprintf("answers with status %d, it must be 2xx", answer.StatusCode)}
	}
	body, err := io.ReadAll(answer.Body)
	if errors.Is(err, errTooLarge) {
		return nil, tooLarge()
	}
	return body, err
}

// request is the signed request of an event.
func (w *Webhook) request(ctx context.Context, pool tributary.PoolID, address string, event []byte) (*http.Request, error) {
	key, err := w.Key(pool, address)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(event))
	if err != nil {
		return nil, errors.New("the address cannot be used")
	}
	now := time.Now
	if w.Now != nil {
		now = w.Now
	}
	id, at := "msg_"+rand.Text(), strconv.FormatInt(now().Unix(), 10)
	r.Header.Set("User-Agent", "tributary")
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("webhook-id", id)
	r.Header.Set("webhook-timestamp", at)
	r.Header.Set("webhook-signature", "v1,"+sign(key, id, at, event))
	return r, nil
}

// sign is the signature of an event, in Base64.
func sign(key []byte, id, at string, event []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(event)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
