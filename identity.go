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
	// MergedInto is the identity that took over the logins and the datasets; ""
	// if there is none.
	MergedInto IdentityID
	// Unfinished says that there is still work to be done for a disabled
	// identity: its datasets go to MergedInto, or if that is "", they go, and
	// the identity with them.
	Unfinished bool
	// Merged says that others were merged into this identity.
	Merged   bool
	Created  Millis
	Modified Millis // of the identity itself, not of its data

	// Kept by the store, ignored by PutIdentity.
	Datasets int64 // that exist
	Usage    Usage
}

// Deleted tells whether the identity is refused to all, and goes with its data.
func (i *Identity) Deleted() bool { return i.Unfinished && i.MergedInto == "" }

// Clone copies an identity, so that nothing is shared.
func (i *Identity) Clone() Identity {
	out := *i
	out.Logins = slices.Clone(i.Logins)
	return out
}
