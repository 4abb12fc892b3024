package tributary

import "context"

// Login is a user of a login provider, as an identity is linked to it.
type Login struct {
	Provider string // such as accounts.google.com
	User     string // the provider's own name of the user
}

// VerifiedLogin is a login that its provider vouches for.
type VerifiedLogin struct {
	Login
	// Claims are what the provider's token says of the user, by name: texts,
	// numbers, booleans and lists of texts. None for providers whose tokens say
	// nothing.
	Claims map[string]any
}

// Logins proves who a provider's user is.
type Logins interface {
	// VerifyLogin checks a token that a client got from a provider, named as in
	// the keys of a request's Logins.
	//
	// Errors: Denied if the pool does not take the provider, or the token is not
	// good, or not meant for the pool; Trigger if the provider cannot be asked.
	VerifyLogin(ctx context.Context, pool *Pool, provider, token string) (VerifiedLogin, error)
}
