package tributary

import (
	"context"
	"time"
)

// OwnProvider is the name under which our own OpenID tokens come back as logins.
const OwnProvider = "cognito-identity.amazonaws.com"

// OpenIDToken is what a token says that we issue of an identity.
type OpenIDToken struct {
	Pool     PoolID
	Identity IdentityID
	// Methods are how the identity was proven, as in the claim amr:
	// "unauthenticated", or "authenticated", the provider, and the user there.
	Methods []string
	Tags    map[string]string // principal tags
	// Roles are the ARNs of all roles that the pool's mappings allow, by claims
	// that the token lacks; nil if no mapping speaks of the user.
	Roles []string
	Until time.Time
}

// OpenIDTokens makes and reads our own OpenID tokens.
type OpenIDTokens interface {
	// IssueToken signs a token.
	IssueToken(ctx context.Context, t OpenIDToken) (string, error)
	// OpenToken reads a token that was issued here. Denied, with AWS's text, if it
	// was not, or has expired; the cause is then [ErrTokenExpired].
	OpenToken(ctx context.Context, token string) (OpenIDToken, error)
}

// How long our tokens are good.
const (
	tokenLife          = 10 * time.Minute
	developerTokenLife = 15 * time.Minute
	maxTokenLife       = 24 * time.Hour
)
