package tributary

// Principal is who calls: a developer of the account, or one identity.
type Principal struct {
	Account   string     // the account of a developer; "" for an identity
	AccessKey string     // the key that signed
	Pool      PoolID     // of an identity
	Identity  IdentityID // "" for a developer
}

// Developer tells whether the principal is a developer.
func (p *Principal) Developer() bool { return p.Account != "" && p.Identity == "" }

// needsDeveloper refuses an identity.
func needsDeveloper(p Principal, op string) error {
	if p.Developer() {
		return nil
	}
	return denied(op)
}

// needsAccess refuses an identity that asks for data that is not its own.
func needsAccess(p Principal, op string, pool PoolID, id IdentityID) error {
	if p.Developer() || p.Identity != "" && p.Identity == id && p.Pool == pool {
		return nil
	}
	return denied(op)
}

func denied(op string) error {
	return Errorf(Denied, op, "These credentials are not valid for accessing this resource")
}
