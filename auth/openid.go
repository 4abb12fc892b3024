package auth

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/go-json-experiment/json"

	"tributary"
)

// Where the documents of an OpenID Connect issuer are, as AWS has them.
const (
	DiscoveryPath = "/.well-known/openid-configuration"
	KeysPath      = "/.well-known/jwks_uri"
)

// algorithm is what AWS signs its tokens with.
const algorithm = jose.RS512

// Tokens makes and reads the OpenID tokens of identities. Rotation, Issuer and
// Account are required; Rotation.Signing is set by [Tokens.Begin].
type Tokens struct {
	Rotation *tributary.Rotation
	Issuer   string           // URL
	Account  string           // 12 digits
	Now      func() time.Time // nil: time.Now

	look sync.Mutex // held while the keys are read from the store, by one for all who wait

	mu      sync.Mutex // guards what follows
	keys    map[uint32]*rsa.PrivateKey
	current uint32
	looked  time.Time
}

var _ tributary.OpenIDTokens = (*Tokens)(nil)

// Begin makes the Rotation tell of its keys. The first key is made when it is
// needed: that takes a while.
func (t *Tokens) Begin() {
	t.Rotation.Signing = func(keys map[uint32]*rsa.PrivateKey, current uint32) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.keys, t.current = keys, current
	}
}

func (t *Tokens) now() time.Time {
	if t.Now != nil {
		return t.Now()
	}
	return time.Now()
}

// known gives the keys; a key that is missing is looked for in the store, which
// a stranger can ask for once a second at most.
func (t *Tokens) known(ctx context.Context, missing func(map[uint32]*rsa.PrivateKey) bool) (map[uint32]*rsa.PrivateKey, uint32, error) {
	get := func() (map[uint32]*rsa.PrivateKey, uint32, bool) {
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.keys, t.current, t.keys == nil || missing(t.keys) && t.now().Sub(t.looked) >= time.Second
	}
	keys, current, look := get()
	if !look {
		return keys, current, nil
	}
	t.look.Lock()
	defer t.look.Unlock()
	if keys, current, look = get(); !look {
		return keys, current, nil
	}
	if err := t.Rotation.Look(ctx); err != nil {
		return nil, 0, err
	}
	t.mu.Lock()
	t.looked = t.now()
	t.mu.Unlock()
	keys, current, _ = get()
	return keys, current, nil
}

// claims is what a token says, in AWS's names.
type claims struct {
	Issuer   string       `json:"iss"`
	Subject  string       `json:"sub"`
	Audience string       `json:"aud"`
	Methods  []string     `json:"amr"`
	PoolARN  string       `json:"https://cognito-identity.amazonaws.com/identity-pool-arn,omitempty"`
	Tags     *sessionTags `json:"https://aws.amazon.com/tags,omitempty"`
	Roles    *[]string    `json:"tributary:roles,omitempty"` // ours
	IssuedAt int64        `json:"iat"`
	Expires  int64        `json:"exp"`
}

// sessionTags is the claim from which STS takes a session's tags.
type sessionTags struct {
	PrincipalTags     map[string][]string `json:"principal_tags"`
	TransitiveTagKeys []string            `json:"transitive_tag_keys,omitempty"`
}

// IssueToken signs a token.
func (t *Tokens) IssueToken(ctx context.Context, of tributary.OpenIDToken) (string, error) {
	const op = "issue token"
	keys, current, err := t.known(ctx, func(map[uint32]*rsa.PrivateKey) bool { return false })
	if err != nil {
		return "", err
	}
	options := (&jose.SignerOptions{}).WithType("JWS").WithHeader("kid", keyName(current))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: keys[current]}, options)
	if err != nil {
		return "", &tributary.Error{Kind: tributary.Internal, Op: op, Err: err}
	}
	c := claims{
		Issuer: t.Issuer, Subject: string(of.Identity), Audience: string(of.Pool), Methods: of.Methods,
		PoolARN:  "arn:aws:cognito-identity:" + of.Pool.Region() + ":" + t.Account + ":identitypool/" + string(of.Pool),
		IssuedAt: t.now().Unix(), Expires: of.Until.Unix(),
	}
	if len(of.Tags) > 0 {
		c.Tags = &sessionTags{PrincipalTags: map[string][]string{}}
		for name, value := range of.Tags {
			c.Tags.PrincipalTags[name] = []string{value}
		}
	}
	if of.Roles != nil {
		c.Roles = &of.Roles
	}
	token, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		return "", &tributary.Error{Kind: tributary.Internal, Op: op, Err: err}
	}
	return token, nil
}

func keyName(id uint32) string { return "tributary-" + strconv.FormatUint(uint64(id), 10) }

// OpenToken reads a token that was issued here.
func (t *Tokens) OpenToken(ctx context.Context, token string) (tributary.OpenIDToken, error) {
	refused := func(cause error) (tributary.OpenIDToken, error) {
		return tributary.OpenIDToken{}, &tributary.Error{Kind: tributary.Denied, Op: "open token", Msg: "Invalid login token. Not a valid OpenId Connect identity token.", Err: cause}
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{algorithm})
	if err != nil || len(parsed.Headers) != 1 {
		return refused(err)
	}
	find := func(keys map[uint32]*rsa.PrivateKey) (*rsa.PrivateKey, bool) {
		for id, key := range keys {
			if keyName(id) == parsed.Headers[0].KeyID {
				return key, true
			}
		}
		return nil, false
	}
	keys, _, err := t.known(ctx, func(keys map[uint32]*rsa.PrivateKey) bool { _, ok := find(keys); return !ok })
	if err != nil {
		return tributary.OpenIDToken{}, err
	}
	key, ok := find(keys)
	if !ok {
		return refused(errors.New("the key is not known"))
	}
	var c claims
	if err := parsed.Claims(&key.PublicKey, &c); err != nil || c.Issuer != t.Issuer {
		return refused(err)
	}
	if now := t.now().Unix(); c.Expires <= now {
		return tributary.OpenIDToken{}, &tributary.Error{Kind: tributary.Denied, Op: "open token", Err: tributary.ErrTokenExpired,
			Msg: fmt.Sprintf("Invalid login token. Token expired: %d >= %d", now, c.Expires)}
	}
	out := tributary.OpenIDToken{Pool: tributary.PoolID(c.Audience), Identity: tributary.IdentityID(c.Subject), Methods: c.Methods, Until: time.Unix(c.Expires, 0)}
	if c.Roles != nil {
		out.Roles = *c.Roles
	}
	if c.Tags != nil {
		out.Tags = map[string]string{}
		for name, values := range c.Tags.PrincipalTags {
			if len(values) > 0 {
				out.Tags[name] = values[0]
			}
		}
	}
	return out, nil
}

// ServeHTTP serves the documents with which anybody can check our tokens.
func (t *Tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET is answered here", http.StatusMethodNotAllowed)
		return
	}
	document, err := t.document(r)
	if err != nil {
		http.Error(w, "the keys cannot be read now", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=60")
	_, _ = w.Write(document) // the client is gone
}

func (t *Tokens) document(r *http.Request) ([]byte, error) {
	if r.URL.Path == DiscoveryPath {
		return json.Marshal(map[string]any{
			"issuer": t.Issuer, "jwks_uri": t.Issuer + KeysPath, "authorization_endpoint": t.Issuer + "/",
			"response_types_supported": []string{"token"}, "subject_types_supported": []string{"public"},
			"id_token_signing_alg_values_supported": []string{string(algorithm)},
		}, json.Deterministic(true))
	}
	keys, _, err := t.known(r.Context(), func(map[uint32]*rsa.PrivateKey) bool { return false })
	if err != nil {
		return nil, err
	}
	var set jose.JSONWebKeySet
	for _, id := range slices.Sorted(maps.Keys(keys)) {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: &keys[id].PublicKey, KeyID: keyName(id), Algorithm: string(algorithm), Use: "sig"})
	}
	return json.Marshal(set)
}
