package tributary

import "slices"

// IdentityID names an identity: region, colon, lower-case UUID. It is unique
// over all pools.
type IdentityID string

// CheckIdentityID tells whether id has the form that the service model demands.
func CheckIdentityID(id IdentityID) error { return checkID("identityId", string(id)) }

// Identity is one user of one pool. Its data is in its datasets.
type Identity struct {
	ID   IdentityID
	Pool PoolID
	// Revision rises when the identity is written, gains or loses a dataset;
	// 0 in an identity that is not stored yet.
	Revision int64
	Logins   []Login // none: a guest
	Disabled bool    // merged into another identity, or deleted
	Created  Millis
	Modified Millis // of the identity itself, not of its data

	// Kept by the store, ignored by PutIdentity.
	Datasets int64 // that exist
	Usage    Usage
}

// Clone copies an identity, so that nothing is shared.
func (i *Identity) Clone() Identity {
	out := *i
	out.Logins = slices.Clone(i.Logins)
	return out
}
