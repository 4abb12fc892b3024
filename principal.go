package tributary

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
	Action   string // such as cognito-sync:ListRecords
	Resource string // its ARN, noted when access is checked; "" before
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
