package tributary

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// AssumeRole is what somebody shows who wants to act in a role, in the classic
// flow.
type AssumeRole struct {
	RoleARN     string
	SessionName string
	Token       string        // an OpenID token of ours
	Duration    time.Duration // of the credentials: 15 minutes to 12 hours
	Policy      string        // document that bounds what the role allows; "": nothing does
}

// Causes of errors of [Service.AssumeRole], which STS tells apart.
var (
	ErrTokenExpired  = errors.New("the token has expired")
	ErrTokenRefused  = errors.New("the token is none of ours")
	ErrPolicyRefused = errors.New("the policy cannot be read")
)

// MaxSessionPolicy is the length of the longest policy of a session, in bytes.
const MaxSessionPolicy = 2048

// What the service model allows.
const (
	minToken, maxToken     = 4, 20_000 // characters
	minSession, maxSession = 15 * time.Minute, 12 * time.Hour
)

var (
	assumableRole = regexp.MustCompile(`^arn:aws[\w-]*:iam::\d{12}:role/[!-~]{1,512}$`)
	sessionName   = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	sessionPolicy = regexp.MustCompile(`^[\t\n\r\x{20}-\x{FF}]+$`)
)

// check holds what is asked for to the service model.
func (in *AssumeRole) check() error {
	const op = "assume role"
	var broken []string
	refuse := func(wrong bool, value, at, constraint string) {
		if wrong {
			broken = append(broken, fmt.Sprintf("%s at '%s' failed to satisfy constraint: %s", value, at, constraint))
		}
	}
	quote := func(text string) string {
		if text == "" {
			return "Value null"
		}
		return "Value '" + clip(text) + "'"
	}
	refuse(!assumableRole.MatchString(in.RoleARN), quote(in.RoleARN), "roleArn",
		"Member must be the ARN of a role, such as arn:aws:iam::000000000000:role/app-user")
	refuse(!sessionName.MatchString(in.SessionName), quote(in.SessionName), "roleSessionName",
		`Member must have length between 2 and 64 and satisfy regular expression pattern: [\w+=,.@-]*`)
	refuse(len(in.Token) < minToken || len(in.Token) > maxToken, "Value", "webIdentityToken",
		fmt.Sprintf("Member must have length between %d and %d", minToken, maxToken))
	refuse(in.Duration < minSession || in.Duration > maxSession, fmt.Sprintf("Value '%.0f'", in.Duration.Seconds()), "durationSeconds",
		fmt.Sprintf("Member must have value between %.0f and %.0f", minSession.Seconds(), maxSession.Seconds()))
	refuse(in.Policy != "" && !sessionPolicy.MatchString(in.Policy), quote(in.Policy), "policy",
		`Member must satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u00FF]+`)
	refuse(utf8.RuneCountInString(in.Policy) > MaxSessionPolicy, quote(in.Policy), "policy",
		fmt.Sprintf("Member must have length less than or equal to %d", MaxSessionPolicy))
	switch len(broken) {
	case 0:
		return nil
	case 1:
		return Errorf(Invalid, op, "1 validation error detected: %s", broken[0])
	}
	return Errorf(Invalid, op, "%d validation errors detected: %s", len(broken), strings.Join(broken, "; "))
}

// AssumeRole gives a role to who has an OpenID token of ours and names a role
// that the token's pool gives to its user.
//
// Errors: Invalid, with the cause [ErrPolicyRefused] if it is the policy; Limit
// if that is too large; Denied, with the causes [ErrTokenExpired] and
// [ErrTokenRefused] if it is the token.
func (s *Service) AssumeRole(ctx context.Context, in AssumeRole) (Grant, error) {
	const op = "assume role"
	if err := in.check(); err != nil {
		return Grant{}, err
	}
	if err := checkSessionPolicy(in.Policy); err != nil {
		return Grant{}, err
	}
	t, err := s.openToken(ctx, in.Token)
	if err != nil {
		return Grant{}, err
	}
	refused := Errorf(Denied, op, "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	pool, err := s.livePool(ctx, op, t.Pool)
	if KindOf(err) == NotFound {
		return Grant{}, refused
	} else if err != nil {
		return Grant{}, err
	}
	if pool.AllowClassicFlow != nil && !*pool.AllowClassicFlow {
		return Grant{}, Errorf(Denied, op, "Basic (classic) flow is not enabled, please use enhanced flow.")
	}
	i, err := s.Store.Identity(ctx, t.Identity)
	if err != nil && KindOf(err) != NotFound {
		return Grant{}, err
	}
	if err != nil || !pool.admits(&i, &t) || !pool.gives(in.RoleARN, &t) {
		return Grant{}, refused
	}
	return Grant{Identity: i, Role: in.RoleARN, Tags: t.Tags, Session: in.SessionName, Policy: in.Policy, Life: in.Duration}, nil
}

// checkSessionPolicy reads the policy of a session, if it has one.
func checkSessionPolicy(document string) error {
	const op = "assume role"
	if document == "" {
		return nil
	}
	if n := len(document); n > MaxSessionPolicy {
		return Errorf(Limit, op, "The policy has %d bytes, which is %d%% of the limit of %d", n, PackedPolicySize(document), MaxSessionPolicy)
	}
	if _, err := ParsePolicy(document); err != nil {
		return &Error{Kind: Invalid, Op: op, Msg: Message(err), Err: ErrPolicyRefused}
	}
	return nil
}

// PackedPolicySize is how much of a session policy's room a document takes, in
// percent.
func PackedPolicySize(document string) int {
	return (100*len(document) + MaxSessionPolicy - 1) / MaxSessionPolicy
}

func (s *Service) openToken(ctx context.Context, token string) (OpenIDToken, error) {
	const op = "assume role"
	if s.Tokens == nil {
		return OpenIDToken{}, Errorf(Unavailable, op, "This server does not issue OpenID tokens")
	}
	t, err := s.Tokens.OpenToken(ctx, token)
	if KindOf(err) == Denied && !errors.Is(err, ErrTokenExpired) {
		return t, &Error{Kind: Denied, Op: op, Err: fmt.Errorf("%w: %w", ErrTokenRefused, err),
			Msg: "The token was not issued by this server: it must be from GetOpenIdToken or GetOpenIdTokenForDeveloperIdentity"}
	}
	return t, err
}

// authenticated tells whether logins have proven the token's identity.
func (t *OpenIDToken) authenticated() bool {
	return len(t.Methods) > 0 && t.Methods[0] == "authenticated"
}

// admits tells whether an identity may still act as its token says: a guest who
// has become a user is a guest no more.
func (p *Pool) admits(i *Identity, t *OpenIDToken) bool {
	if i.Pool != p.ID || i.Disabled {
		return false
	}
	return t.authenticated() || p.AllowUnauthenticated && len(i.Logins) == 0
}

// gives tells whether the pool gives a role to who has such a token. A pool
// that has none leaves it to the app.
func (p *Pool) gives(role string, t *OpenIDToken) bool {
	r := &p.Roles
	switch {
	case r.Authenticated == "" && r.Unauthenticated == "" && len(r.Mappings) == 0:
		return true
	case !t.authenticated():
		return role == r.Unauthenticated
	case t.Roles != nil:
		return slices.Contains(t.Roles, role)
	}
	return role == r.Authenticated
}

// Caller is a principal in IAM's terms.
type Caller struct{ Account, ARN, UserID string }

// Caller tells who a principal is.
func (s *Service) Caller(p Principal) Caller {
	if p.Developer() {
		return Caller{Account: p.Account, ARN: "arn:aws:iam::" + p.Account + ":user/" + p.AccessKey, UserID: p.AccessKey}
	}
	partition, account, role, name := "aws", s.Account, "none", "CognitoIdentityCredentials"
	if p.Session != nil {
		if f := strings.SplitN(p.Session.Role, ":", 6); len(f) == 6 {
			partition, account, role = f[1], f[4], f[5][strings.LastIndexByte(f[5], '/')+1:]
		}
		if p.Session.Name != "" {
			name = p.Session.Name
		}
	}
	return Caller{
		Account: account, ARN: "arn:" + partition + ":sts::" + account + ":assumed-role/" + role + "/" + name,
		UserID: roleID(account, role) + ":" + name,
	}
}

// roleID makes what IAM gives a role beside its name.
func roleID(account, role string) string {
	const length = 17 // characters after the prefix, as AWS's have them
	sum := sha256.Sum256([]byte(account + "/" + role))
	return "AROA" + base32.StdEncoding.EncodeToString(sum[:])[:length]
}
