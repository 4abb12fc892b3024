// Package auth proves who calls: developers by access keys, whose secrets are
// kept sealed in the store, and identities by temporary credentials, which are
// sealed in their own session token and stored nowhere. Users of login
// providers it proves by the providers' tokens.
package auth

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"tributary"
	"tributary/awswire"
)

// Auth checks signatures and issues credentials. Keys, Sealer and Account are
// required.
type Auth struct {
	Keys    tributary.AccessKeys
	Sealer  *tributary.Sealer
	Account string            // of the developers
	Region  func(string) bool // nil: any region may be signed for
	Now     func() time.Time  // nil: time.Now

	once     sync.Once
	verifier *awswire.Verifier[tributary.Principal]

	mu     sync.Mutex             // guards what follows
	known  map[string]knownKey    // opened a moment ago, by access key id
	opened map[string]credentials // by session token
}

// knownKey is a developer's key as it was read from the store.
type knownKey struct {
	secret   string
	disabled bool
	until    tributary.Millis // 0: for ever
	policy   *tributary.Policy
	read     time.Time
}

// knownFor is how long a key is not read again: a key that was disabled, or got
// another policy, may be used as before for so long.
const knownFor = time.Second

// credentials are an identity's, as its session token has them.
type credentials struct {
	secret string
	who    tributary.Principal
	until  int64 // Unix seconds
}

// mostKnown bounds the remembered keys, and the remembered credentials.
const mostKnown = 1024

// credentialsLife is how long an identity's credentials are good by default.
const credentialsLife = time.Hour

func (a *Auth) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}

// Authenticate proves who signed a request; read gives its body. Errors are of
// type *awswire.Fault, or of the Kind of what kept the key from being read, or
// they are read's.
func (a *Auth) Authenticate(r *http.Request, read awswire.ReadBody) (tributary.Principal, error) {
	a.once.Do(func() {
		a.verifier = &awswire.Verifier[tributary.Principal]{Lookup: a.lookup, Region: a.Region, Now: a.now}
	})
	return a.verifier.Authenticate(r, read)
}

func (a *Auth) lookup(ctx context.Context, id, token string) (string, tributary.Principal, error) {
	if token != "" {
		return a.openCredentials(id, token)
	}
	key, err := a.developerKey(ctx, id)
	if err != nil {
		return "", tributary.Principal{}, err
	}
	if key.disabled || key.until != 0 && tributary.MillisOf(a.now()) >= key.until {
		return "", tributary.Principal{}, awswire.UnknownKey()
	}
	return key.secret, tributary.Principal{Account: a.Account, AccessKey: id, Policy: key.policy}, nil
}

func (a *Auth) developerKey(ctx context.Context, id string) (knownKey, error) {
	now := a.now()
	a.mu.Lock()
	key, ok := a.known[id]
	a.mu.Unlock()
	if ok && now.Sub(key.read) < knownFor && now.Sub(key.read) >= 0 {
		return key, nil
	}
	stored, err := a.Keys.AccessKey(ctx, id)
	if tributary.KindOf(err) == tributary.NotFound {
		return knownKey{}, awswire.UnknownKey()
	} else if err != nil {
		return knownKey{}, err // an outage must not look like a wrong key
	}
	if key, err = a.open(&stored); err != nil {
		return knownKey{}, &tributary.Error{Kind: tributary.Internal, Op: "open access key", Err: err}
	}
	key.read = now
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil || len(a.known) >= mostKnown {
		a.known = map[string]knownKey{}
	}
	a.known[id] = key
	return key, nil
}

// open reads a stored key. A policy that cannot be read must not become none:
// without one, everything is allowed.
func (a *Auth) open(k *tributary.AccessKey) (knownKey, error) {
	secret, err := a.Sealer.Open(keyContext(k.ID), string(k.Sealed))
	if err != nil {
		return knownKey{}, err
	}
	out := knownKey{secret: string(secret), disabled: k.Disabled, until: k.Until}
	if k.Policy != "" {
		out.policy, err = tributary.ParsePolicy(k.Policy)
	}
	return out, err
}

func keyContext(id string) string { return "access key\x00" + id }

// GenerateAccessKey makes a developer's access key, which is good once it is
// stored.
func GenerateAccessKey() awswire.Credentials {
	return awswire.Credentials{AccessKeyID: "AKIA" + randomID(), SecretKey: randomSecret()}
}

// NewAccessKey makes a developer's access key and stores it. The secret is
// given this once.
func (a *Auth) NewAccessKey(ctx context.Context) (awswire.Credentials, error) {
	c := GenerateAccessKey()
	return c, a.PutAccessKey(ctx, c)
}

// Check tells whether a stored access key can be opened, which it cannot with
// another master key than it was sealed with.
func (a *Auth) Check(k tributary.AccessKey) error {
	_, err := a.Sealer.Open(keyContext(k.ID), string(k.Sealed))
	return err
}

// HasSecret tells whether a stored access key has a secret.
//
// Errors: as of [Auth.Check].
func (a *Auth) HasSecret(k tributary.AccessKey, secret string) (bool, error) {
	stored, err := a.Sealer.Open(keyContext(k.ID), string(k.Sealed))
	return err == nil && string(stored) == secret, err
}

// PutAccessKey stores a developer's access key. Nobody can read its secret from
// the store.
//
// Errors: Stale if there is one with its id.
func (a *Auth) PutAccessKey(ctx context.Context, c awswire.Credentials) error {
	return a.Keys.PutAccessKey(ctx, a.seal(c))
}

// seal makes of a key what is stored of it.
func (a *Auth) seal(c awswire.Credentials) tributary.AccessKey {
	return tributary.AccessKey{
		ID: c.AccessKeyID, Sealed: []byte(a.Sealer.SealForGood(keyContext(c.AccessKeyID), []byte(c.SecretKey))), Created: tributary.MillisOf(a.now()),
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

func randomID() string     { return base32.StdEncoding.EncodeToString(random(10)) }
func randomSecret() string { return base64.StdEncoding.EncodeToString(random(30)) }

// sealed is what a session token holds.
type sealed struct {
	AccessKey, Secret string
	Pool              tributary.PoolID
	Identity          tributary.IdentityID
	Until             int64             // Unix seconds
	Role              string            `json:",omitzero"`
	Tags              map[string]string `json:",omitempty"`
	Session           string            `json:",omitzero"`
	Policy            string            `json:",omitzero"`
}

const credentialsContext = "identity credentials"

// Issue makes temporary credentials of an identity that has signed in.
func (a *Auth) Issue(g tributary.Grant) (awswire.Credentials, time.Time, error) {
	life := credentialsLife
	if g.Life > 0 {
		life = g.Life
	}
	until := a.now().Add(life).Truncate(time.Second)
	c := awswire.Credentials{AccessKeyID: "ASIA" + randomID(), SecretKey: randomSecret()}
	plain, err := json.Marshal(sealed{
		AccessKey: c.AccessKeyID, Secret: c.SecretKey, Pool: g.Identity.Pool, Identity: g.Identity.ID, Until: until.Unix(),
		Role: g.Role, Tags: g.Tags, Session: g.Session, Policy: g.Policy,
	})
	if err != nil {
		return c, until, &tributary.Error{Kind: tributary.Internal, Op: "issue credentials", Err: err}
	}
	c.SessionToken = a.Sealer.Seal(credentialsContext, plain)
	return c, until, nil
}

func (a *Auth) openCredentials(id, token string) (string, tributary.Principal, error) {
	c, err := a.credentials(token)
	switch {
	case err != nil:
		return "", tributary.Principal{}, err
	case c.who.AccessKey != id:
		return "", tributary.Principal{}, awswire.UnknownKey()
	case a.now().Unix() >= c.until:
		return "", tributary.Principal{}, &awswire.Fault{Code: "ExpiredTokenException", Status: http.StatusForbidden, Message: "The security token included in the request is expired"}
	}
	return c.secret, c.who, nil
}

// credentials opens a session token, or finds that it was opened before.
func (a *Auth) credentials(token string) (credentials, error) {
	a.mu.Lock()
	c, ok := a.opened[token]
	a.mu.Unlock()
	if ok {
		return c, nil
	}
	var s sealed
	plain, err := a.Sealer.Open(credentialsContext, token)
	if err == nil {
		err = json.Unmarshal(plain, &s)
	}
	if err != nil {
		return c, awswire.UnknownKey()
	}
	c = credentials{secret: s.Secret, until: s.Until, who: tributary.Principal{AccessKey: s.AccessKey, Pool: s.Pool, Identity: s.Identity}}
	if s.Role != "" || len(s.Tags) > 0 || s.Policy != "" {
		c.who.Session = &tributary.Session{Role: s.Role, Name: s.Session, Tags: s.Tags}
	}
	if s.Policy != "" {
		if c.who.Session.Policy, err = tributary.ParsePolicy(s.Policy); err != nil { // it was checked when it was sealed
			return c, &tributary.Error{Kind: tributary.Internal, Op: "open credentials", Err: err}
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.opened == nil || len(a.opened) >= mostKnown {
		a.opened = map[string]credentials{}
	}
	a.opened[strings.Clone(token)] = c // its header would be kept whole
	return c, nil
}
