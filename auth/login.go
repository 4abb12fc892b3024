package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"tributary"
)

// Logins proves who the users of login providers are, by asking the providers
// or, where tokens are signed, by the keys that they publish. The zero value
// works. It implements [tributary.Logins].
type Logins struct {
	// Endpoints are base URLs that stand for those of providers, by the
	// provider's name in a request's Logins: a proxy's, say. Of an OpenID Connect
	// provider it is where the discovery document is sought. The issuer that the
	// document states must be the provider's own or this URL, and is then the one
	// whose tokens are taken.
	Endpoints map[string]string
	Client    *http.Client     // nil: one of its own
	Now       func() time.Time // nil: time.Now
	Log       *slog.Logger     // nil: no log

	mu      sync.Mutex
	own     *http.Client         // made when first needed
	issuers map[string]*issuer   // by provider
	warned  map[string]time.Time // of a provider: when last
}

const (
	// longestToken is in characters, by the service model.
	longestToken = 50_000
	// longestUser is in characters: OpenID Connect allows no more of a sub.
	longestUser = 255
	// patience bounds all that is asked for one login.
	patience = 5 * time.Second
	// mostProviders bounds what is remembered of providers, which pools name.
	mostProviders = 1024
)

// The providers that have protocols of their own, or none that can be had.
const (
	facebook = "graph.facebook.com"
	amazon   = "www.amazon.com"
	twitter  = "api.twitter.com"
	digits   = "www.digits.com"
)

const opVerify = "verify login"

// VerifyLogin is described at [tributary.Logins]. A provider is asked for 5
// seconds at most. Denied texts begin as AWS's do; no error holds any of the
// token.
//
// Errors: also Invalid if the token is empty or has more than 50,000 characters.
func (l *Logins) VerifyLogin(ctx context.Context, pool *tributary.Pool, provider, token string) (tributary.VerifiedLogin, error) {
	if token == "" || utf8.RuneCountInString(token) > longestToken {
		return tributary.VerifiedLogin{}, tributary.Errorf(tributary.Invalid, opVerify,
			"1 validation error detected: Value at 'logins' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length between 1 and %d]", longestToken)
	}
	clients, err := clientsOf(pool, provider)
	if err != nil {
		return tributary.VerifiedLogin{}, err
	}
	user, claims, err := l.verify(ctx, provider, clients, token)
	if f := (*failure)(nil); errors.As(err, &f) {
		if ctx.Err() == nil { // else the caller has gone, which is not the provider's fault
			l.warn("a login provider cannot be asked", provider, f)
		}
		err = &tributary.Error{Kind: tributary.Trigger, Op: opVerify, Msg: fmt.Sprintf("Login provider %s %s.", provider, f.what), Err: f.err}
	}
	if err == nil && !validUser(user) {
		err = badToken("The user's name is empty, longer than %d characters or has control characters.", longestUser)
	}
	if err != nil {
		return tributary.VerifiedLogin{}, err
	}
	return tributary.VerifiedLogin{Login: tributary.Login{Provider: provider, User: user}, Claims: claims}, nil
}

func (l *Logins) verify(ctx context.Context, provider string, clients []string, token string) (user string, claims map[string]any, err error) {
	switch provider {
	case facebook:
		return l.verifyFacebook(ctx, clients, token)
	case amazon:
		return l.verifyAmazon(ctx, clients, token)
	case twitter, digits:
		return "", nil, tributary.Errorf(tributary.Denied, opVerify, "Login provider %s is not supported by this server.", provider)
	}
	own := "https://" + strings.TrimSuffix(provider, "/")
	if !looksLikeIssuer(own) && l.Endpoints[provider] == "" {
		return "", nil, tributary.Errorf(tributary.Denied, opVerify, "Login provider %s is no host with a dot in its name and a path at most: its address must be configured (--login-endpoints).", provider)
	}
	return l.verifyOpenID(ctx, provider, own, clients, token)
}

// clientsOf gives the app ids whose tokens a pool takes from a provider. The
// same provider may be named in more than one way.
func clientsOf(pool *tributary.Pool, provider string) ([]string, error) {
	ids, known := pool.LoginProviders[provider]
	clients := strings.FieldsFunc(ids, func(r rune) bool { return r == ';' || r == ',' || unicode.IsSpace(r) })
	for _, p := range pool.CognitoProviders {
		if p.Name == provider {
			known, clients = true, append(clients, p.ClientID)
		}
	}
	for _, arn := range pool.OpenIDProviders {
		if _, name, ok := strings.Cut(arn, ":oidc-provider/"); ok && name == provider {
			known, clients = true, append(clients, pool.OpenIDClients[arn]...)
		}
	}
	clients = slices.DeleteFunc(clients, func(id string) bool { return id == "" })
	switch {
	case slices.Contains(pool.SAMLProviders, provider):
		return nil, tributary.Errorf(tributary.Denied, opVerify, "SAML providers are not supported by this server: %s.", provider)
	case !known:
		return nil, unsupported()
	case len(clients) == 0:
		return nil, tributary.Errorf(tributary.Denied, opVerify,
			"The identity pool takes tokens of %s for no app: configure the client ids (audiences) that its tokens may be for.", provider)
	}
	return clients, nil
}

// unsupported is also the answer to a token for another app, as on AWS.
func unsupported() error {
	return tributary.Errorf(tributary.Denied, opVerify, "Token is not from a supported provider of this identity pool.")
}

// badToken makes the error of a token that is no good. Nothing that the token
// says may go into it, beside numbers.
func badToken(format string, args ...any) error {
	return tributary.Errorf(tributary.Denied, opVerify, "Invalid login token. "+format, args...)
}

func expired(now, at time.Time) error {
	return badToken("Token expired: %d >= %d", now.Unix(), at.Unix())
}

// looksLikeIssuer tells whether a URL is of a host with a dot in its name and a
// path at most.
func looksLikeIssuer(base string) bool {
	u, err := url.Parse(base)
	return err == nil && strings.Contains(strings.Trim(u.Hostname(), "."), ".") && u.String() == "https://"+u.Host+u.EscapedPath()
}

func validUser(s string) bool {
	return s != "" && utf8.RuneCountInString(s) <= longestUser && !strings.ContainsFunc(s, unicode.IsControl)
}

// endpoint gives the base URL of a provider, which is its own unless Endpoints
// says otherwise.
func (l *Logins) endpoint(provider, own string) string {
	if other := l.Endpoints[provider]; other != "" {
		return strings.TrimSuffix(other, "/")
	}
	return own
}

func (l *Logins) now() time.Time {
	if l.Now != nil {
		return l.Now()
	}
	return time.Now()
}
