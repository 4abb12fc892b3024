package auth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/singleflight"
)

const (
	// keysLife is how long an issuer's keys are taken as they are: a key that it
	// withdraws may be used for so long.
	keysLife = time.Hour
	// pause is the least time between two attempts to read an issuer's keys
	// after one failed, and between two because of a key that is unknown: forged
	// tokens must not hammer the issuer.
	pause = 10 * time.Second
)

// document is what an issuer publishes.
type document struct {
	issuer string // as it calls itself
	keys   []jose.JSONWebKey
	read   time.Time
}

// issuer remembers what an OpenID Connect issuer publishes.
type issuer struct {
	read  func(context.Context) (*document, error)
	now   func() time.Time
	stale func(error) // hears that doc stays in use because of an error

	flight singleflight.Group

	mu     sync.Mutex
	doc    *document // nil until the first success
	err    error     // of the last attempt
	due    time.Time // when doc is read again: an hour old, or a pause after a failure
	wanted time.Time // when doc was last read again for a key that it lacks
}

// issuerOf finds the issuer of a provider, whose own URL is given. Providers that
// share an endpoint do not share an issuer: each may have its own name only.
func (l *Logins) issuerOf(provider, own string) *issuer {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i, ok := l.issuers[provider]; ok {
		return i
	}
	if l.issuers == nil || len(l.issuers) >= mostProviders {
		l.issuers = map[string]*issuer{}
	}
	base := l.endpoint(provider, own)
	i := &issuer{
		now:  l.now,
		read: func(ctx context.Context) (*document, error) { return l.readIssuer(ctx, base, own) },
		stale: func(err error) {
			l.warn("the keys of a login provider could not be read again, the old ones stay in use", provider, err)
		},
	}
	l.issuers[provider] = i
	return i
}

// readIssuer reads the discovery document below a base URL and the keys that it
// points to. The issuer must call itself by this URL or by the provider's own.
// Errors are of type *failure.
func (l *Logins) readIssuer(ctx context.Context, base, own string) (*document, error) {
	// Every request that waits shares this attempt, so that it must not end with
	// the first of them.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	var found struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := l.readDocument(ctx, base+"/.well-known/openid-configuration", &found); err != nil {
		return nil, err
	}
	// Some issuers have a slash at the end of their name, which the keys of
	// Logins lack.
	if name := strings.TrimSuffix(found.Issuer, "/"); name != own && (name != base || l.isShared(base)) {
		return nil, nonsense(fmt.Errorf("the discovery document of %s names the issuer %q, which must be %s, or this URL if no other provider has it", base, found.Issuer, own))
	}
	if !mayHoldKeys(found.JWKSURI, base) {
		return nil, nonsense(fmt.Errorf("jwks_uri %q is no https URL", found.JWKSURI))
	}
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := l.readDocument(ctx, found.JWKSURI, &set); err != nil {
		return nil, err
	}
	keys := signingKeys(set.Keys)
	if len(keys) == 0 {
		return nil, nonsense(errors.New("no key for signatures is published"))
	}
	return &document{issuer: found.Issuer, keys: keys, read: l.now()}, nil
}

// isShared tells whether several providers have an endpoint, whose own name
// then says of none of them who it is.
func (l *Logins) isShared(base string) bool {
	n := 0
	for _, endpoint := range l.Endpoints {
		if strings.TrimSuffix(endpoint, "/") == base {
			n++
		}
	}
	return n > 1
}

// mayHoldKeys tells whether keys may be read from an address: by https, unless
// the issuer itself is asked without.
func mayHoldKeys(address, base string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http" && strings.HasPrefix(base, "http://"))
}

// signingKeys decodes the public keys that can be used. RFC 7517 wants others
// to be passed over.
func signingKeys(published []jsontext.Value) []jose.JSONWebKey {
	var keys []jose.JSONWebKey
	for _, text := range published {
		var k jose.JSONWebKey
		if err := k.UnmarshalJSON(text); err == nil && k.IsPublic() && (k.Use == "" || k.Use == "sig") {
			keys = append(keys, k)
		}
	}
	return keys
}

// verify gives the payload if one of the keys has signed it. A token that names
// no key may be of any.
func (d *document) verify(jws *jose.JSONWebSignature) (payload []byte, ok bool) {
	header := jws.Signatures[0].Header
	for i := range d.keys {
		k := &d.keys[i]
		if header.KeyID != "" && header.KeyID != k.KeyID || k.Algorithm != "" && k.Algorithm != header.Algorithm {
			continue
		}
		if payload, err := jws.Verify(k); err == nil {
			return payload, true
		}
	}
	return nil, false
}

// verify gives the payload that the issuer signed, and the issuer's name. A
// signature that fits no key is tried again with keys read anew.
//
// Errors: *failure if the keys cannot be read, else the token is not good.
func (i *issuer) verify(ctx context.Context, jws *jose.JSONWebSignature) (payload []byte, name string, err error) {
	begun := i.now()
	doc, err := i.current(ctx)
	if err != nil {
		return nil, "", err
	}
	payload, ok := doc.verify(jws)
	if !ok && doc.read.Before(begun) {
		if doc, err = i.newer(ctx, doc); err != nil {
			return nil, "", err
		}
		payload, ok = doc.verify(jws)
	}
	if !ok {
		return nil, "", badToken("Couldn't verify signed token.")
	}
	return payload, doc.issuer, nil
}

// current gives the document, read anew when it is due. While one request reads
// it the others go on with the old one, if there is one.
func (i *issuer) current(ctx context.Context) (*document, error) {
	i.mu.Lock()
	now, seen, err := i.now(), i.doc, i.err
	early := now.Before(i.due)
	if !early && seen != nil {
		i.due = now.Add(pause)
	}
	i.mu.Unlock()
	switch {
	case early && seen == nil:
		return nil, err
	case early:
		return seen, nil
	}
	doc, err := i.share(ctx, seen, false)
	if err != nil && seen != nil {
		return seen, nil
	}
	return doc, err
}

// newer gives a document that is newer than seen, or seen itself if there is
// none and the issuer was asked a moment ago.
func (i *issuer) newer(ctx context.Context, seen *document) (*document, error) {
	if doc, ok, err := i.settled(seen, true); ok {
		return doc, err
	}
	return i.share(ctx, seen, true)
}

// share reads the document, once for all who want it now.
func (i *issuer) share(ctx context.Context, seen *document, forKey bool) (*document, error) {
	doc, err, _ := i.flight.Do("", func() (any, error) {
		// Another attempt may have ended since the caller looked.
		if doc, ok, err := i.settled(seen, forKey); ok {
			return doc, err
		}
		doc, err := i.read(ctx)
		return doc, i.keep(doc, err, forKey)
	})
	return doc.(*document), err
}

// settled tells whether there is nothing to read: what was seen has been
// replaced, or the issuer was asked a moment ago.
func (i *issuer) settled(seen *document, forKey bool) (doc *document, ok bool, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.doc != seen:
		return i.doc, true, nil
	case forKey:
		return i.doc, i.now().Sub(i.wanted) < pause, i.err
	default:
		return nil, seen == nil && i.now().Before(i.due), i.err
	}
}

// keep remembers what an attempt brought. After a failure the old document
// stays in use.
func (i *issuer) keep(doc *document, err error, forKey bool) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.err = err; forKey {
		i.wanted = i.now()
	}
	if err == nil {
		i.doc, i.due = doc, doc.read.Add(keysLife)
		return nil
	}
	if soon := i.now().Add(pause); i.due.Before(soon) {
		i.due = soon
	}
	if i.doc != nil {
		i.stale(err)
	}
	return err
}
