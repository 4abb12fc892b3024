package auth

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
)

// leeway is how far the clock of an issuer may be ahead of ours.
const leeway = 5 * time.Minute

// userPools begins the names of Cognito user pools as providers.
const userPools = "cognito-idp."

// signatureAlgorithms are those with a public key. With the others whoever can
// check a token could make one.
func signatureAlgorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
		jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}
}

// verifyOpenID checks an OpenID Connect id token of the provider whose own
// issuer is named. The nonce is not looked at: the app had it made, and AWS does
// not look either.
func (l *Logins) verifyOpenID(ctx context.Context, provider, own string, clients []string, token string) (user string, claims map[string]any, err error) {
	keys := &keySet{issuer: l.issuerOf(provider, own)}
	if _, err := l.verifier(keys).Verify(ctx, token); err != nil {
		return "", nil, l.refusal(keys, err)
	}
	// Read anew, with what the verifier's reader lets pass refused: a claim that
	// is there twice, or in other letters.
	if err := json.Unmarshal(keys.payload, &claims); err != nil {
		return "", nil, badToken("Its claims are malformed.")
	}
	if err := l.checkClaims(provider, keys.name, clients, claims); err != nil {
		return "", nil, err
	}
	user, _ = claims["sub"].(string)
	return user, claims, nil
}

// verifier checks the signature and the times. Issuer and audience are ours to
// check: a pool takes several audiences, and some issuers have two names.
func (l *Logins) verifier(keys *keySet) *oidc.IDTokenVerifier {
	var algorithms []string
	for _, a := range signatureAlgorithms() {
		algorithms = append(algorithms, string(a))
	}
	return oidc.NewVerifier("", keys, &oidc.Config{SupportedSigningAlgs: algorithms, SkipClientIDCheck: true, SkipIssuerCheck: true, Now: l.now})
}

// keySet checks a token's signature for the verifier, and keeps what came of it.
type keySet struct {
	issuer  *issuer
	name    string // of the issuer, "" until a signature was found good
	payload []byte
	err     error
}

// VerifySignature implements oidc.KeySet.
func (k *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	// The verifier takes other forms too, with headers that nobody signed.
	jws, err := jose.ParseSignedCompact(token, signatureAlgorithms())
	if err != nil {
		return nil, err
	}
	k.payload, k.name, k.err = k.issuer.verify(ctx, jws)
	return k.payload, k.err
}

// refusal says why a token was refused. The verifier's own text is dropped, it
// may quote the token.
func (l *Logins) refusal(keys *keySet, err error) error {
	var old *oidc.TokenExpiredError
	switch {
	case keys.err != nil:
		return keys.err
	case errors.As(err, &old) && old.Expiry.IsZero():
		return badToken("Missing a required claim: exp")
	case errors.As(err, &old):
		return expired(l.now(), old.Expiry)
	case keys.name != "":
		return badToken("It is not valid yet, or its claims are malformed.")
	}
	return badToken("Not a valid OpenId Connect identity token.")
}

// checkClaims checks what says for whom a token is, and of whom.
func (l *Logins) checkClaims(provider, issuer string, clients []string, claims map[string]any) error {
	for _, name := range []string{"iss", "sub", "aud"} {
		if len(texts(claims[name])) == 0 {
			return badToken("Missing a required claim: %s", name)
		}
	}
	name, _ := claims["iss"].(string)
	if name != issuer && name != otherName(issuer) {
		return badToken("Issuer doesn't match providerName")
	}
	if !meantFor(claims, clients) {
		return unsupported()
	}
	if use, has := claims["token_use"]; has && use != "id" && strings.HasPrefix(provider, userPools) {
		return badToken("Not an id token of the user pool.")
	}
	if issued, _ := claims["iat"].(float64); issued > float64(l.now().Add(leeway).Unix()) {
		return badToken("It is not valid yet.")
	}
	return nil
}

// otherName is a second name that an issuer's tokens may bear, "" if there is
// none.
func otherName(issuer string) string {
	switch issuer {
	case "https://accounts.google.com":
		return "accounts.google.com"
	case facebookIssuer:
		return "https://limited.facebook.com"
	}
	return ""
}

// meantFor tells whether a token was made for one of the clients. One that is
// for strangers too must have been asked for by one of the clients.
func meantFor(claims map[string]any, clients []string) bool {
	ours := func(id string) bool { return slices.Contains(clients, id) }
	audiences := texts(claims["aud"])
	if !slices.ContainsFunc(audiences, ours) {
		return false
	}
	authorized, _ := claims["azp"].(string)
	return ours(authorized) || !slices.ContainsFunc(audiences, func(id string) bool { return !ours(id) })
}

// texts gives a claim that is a text or a list of texts, none if it is neither
// or empty.
func texts(claim any) []string {
	if s, ok := claim.(string); ok && s != "" {
		return []string{s}
	}
	list, _ := claim.([]any)
	var out []string
	for _, e := range list {
		s, ok := e.(string)
		if !ok {
			return nil
		}
		out = append(out, s)
	}
	return out
}
