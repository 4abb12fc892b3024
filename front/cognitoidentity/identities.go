package cognitoidentity

import (
	"context"
	"slices"

	"tributary"
	"tributary/awswire"
)

type identityShape struct {
	IdentityID       string   `json:"IdentityId"`
	Logins           []string `json:",omitempty"` // names of the providers
	CreationDate     awswire.Timestamp
	LastModifiedDate awswire.Timestamp
}

func showIdentity(i *tributary.Identity) identityShape {
	out := identityShape{IdentityID: string(i.ID), CreationDate: awswire.Timestamp(i.Created), LastModifiedDate: awswire.Timestamp(i.Modified)}
	for _, l := range i.Logins {
		if !slices.Contains(out.Logins, l.Provider) {
			out.Logins = append(out.Logins, l.Provider)
		}
	}
	return out
}

// identityRef is how an identity is named.
type identityRef struct {
	IdentityID string `json:"IdentityId"`
}

func (r *identityRef) id() tributary.IdentityID { return tributary.IdentityID(r.IdentityID) }

func (f *front) describeIdentity(ctx context.Context, p principal, in *identityRef) (*identityShape, error) {
	i, err := f.service.Identity(ctx, p, in.id())
	if err != nil {
		return nil, err
	}
	out := showIdentity(&i)
	return &out, nil
}

type listIdentitiesIn struct {
	poolRef
	MaxResults   int
	NextToken    string
	HideDisabled bool
}

type listIdentitiesOut struct {
	IdentityPoolID string `json:"IdentityPoolId"`
	Identities     []identityShape
	NextToken      *string `json:",omitzero"`
}

func (f *front) listIdentities(ctx context.Context, p principal, in *listIdentitiesIn) (*listIdentitiesOut, error) {
	list, next, err := f.service.Identities(ctx, p, in.poolRef.id(), in.NextToken, in.MaxResults, in.HideDisabled)
	if err != nil {
		return nil, err
	}
	out := &listIdentitiesOut{IdentityPoolID: in.IdentityPoolID, Identities: make([]identityShape, len(list)), NextToken: awswire.Nullable(next)}
	for i := range list {
		out.Identities[i] = showIdentity(&list[i])
	}
	return out, nil
}

type deleteIdentitiesIn struct {
	IdentityIDsToDelete []tributary.IdentityID `json:"IdentityIdsToDelete"`
}

type deleteIdentitiesOut struct {
	UnprocessedIdentityIDs []unprocessed `json:"UnprocessedIdentityIds"`
}

type unprocessed struct {
	IdentityID tributary.IdentityID `json:"IdentityId"`
	ErrorCode  string
}

func (f *front) deleteIdentities(ctx context.Context, p principal, in *deleteIdentitiesIn) (*deleteIdentitiesOut, error) {
	ids := slices.Compact(slices.Sorted(slices.Values(in.IdentityIDsToDelete))) // one that is named twice is no failure
	failed, err := f.service.DeleteIdentities(ctx, p, ids)
	if err != nil {
		return nil, err
	}
	out := &deleteIdentitiesOut{UnprocessedIdentityIDs: []unprocessed{}}
	for _, id := range ids {
		err := failed[id]
		if err == nil {
			p.Call.Detail("Deleted", string(id))
			continue
		}
		p.Call.Detail("Not deleted", string(id))
		code := "AccessDenied"
		if tributary.KindOf(err) != tributary.Denied {
			code = "InternalServerError"
			f.log.Error("identity not deleted", "service", Name, "identity", id, "err", err)
		}
		out.UnprocessedIdentityIDs = append(out.UnprocessedIdentityIDs, unprocessed{id, code})
	}
	return out, nil
}
