package tributary

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Principal is who calls: a developer of the account, or one identity.
type Principal struct {
	Account   string     // the account of a developer; "" for an identity
	AccessKey string     // the key that signed
	Pool      PoolID     // of an identity
	Identity  IdentityID // "" for a developer
	Session   *Session   // of an identity; nil: no role, no tags
	Policy    *Policy    // of a developer's key; nil: everything is allowed
	Call      *Call      // what it does now; nil: something that no policy is asked about
}

// Session is in which role an identity acts.
type Session struct {
	Role   string            // ARN; "" if its pool has none
	Name   string            // "" in the enhanced flow
	Tags   map[string]string // principal tags
	Policy *Policy           // bounds what the role allows; nil: nothing does
}

// Call is one operation that is called over the wire, as policies and the audit
// log name it.
type Call struct {
	Action   string  // such as cognito-sync:ListRecords
	Resource string  // its ARN, noted when access is checked; "" before
	Request  Request // how it came; nil: not by a request
	// Details are what it changed, for the audit log; see [Call.Detail].
	Details []string

	detailed int // bytes of Details
}

// Request is what conditions of policies may ask of how a call came. Nothing is
// worked out before it is asked.
type Request interface {
	Client() netip.Addr        // whom it came from; the zero address if that has none
	Secure() bool              // over TLS, all the way from the client
	Header(name string) string // "" if there is none
}

const (
	maxDetail  = 2 << 10  // bytes of one of a call's details
	maxDetails = 16 << 10 // bytes of all of them together
)

// Detail notes something that a call changed or made, by its name and what it is
// now, "" if it is no more. It must be no secret, nor anything of a user but an
// identity's id. Line breaks become spaces, what is too long is cut. It does
// nothing to a call that is nil.
func (c *Call) Detail(name, value string) {
	if c == nil || c.detailed >= maxDetails {
		return
	}
	text := "no " + name
	if value != "" {
		text = name + ": " + value
	}
	text = cut(plain(text), maxDetail)
	if c.detailed += len(text); c.detailed >= maxDetails {
		text = "and more"
	}
	c.Details = append(c.Details, text)
}

// plain is a text as one line without what cannot be printed.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, strings.Join(strings.Fields(s), " "))
}

// Developer tells whether the principal is a developer.
func (p *Principal) Developer() bool { return p.Account != "" && p.Identity == "" }

// owns tells whether data is the principal's own.
func (p *Principal) owns(k DatasetKey) bool {
	return p.Identity != "" && p.Identity == k.Identity && p.Pool == k.Pool
}

func denied(op string) error {
	return Errorf(Denied, op, "These credentials are not valid for accessing this resource")
}
