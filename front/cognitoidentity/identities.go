package cognitoidentity

import (
	"context"

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
		out.Logins = append(out.Logins, l.Provider)
	}
	return out
}

type identityID struct {
	IdentityID string `json:"IdentityId"`
}

func (f *front) describeIdentity(ctx context.Context, p principal, in *identityID) (*identityShape, error) {
	i, err := f.service.Identity(ctx, p, tributary.IdentityID(in.IdentityID))
	if err != nil {
		return nil, err
	}
	out := showIdentity(&i)
	return &out, nil
}

type listIdentitiesIn struct {
	poolID
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
	if err := checkMaxResults(in.MaxResults); err != nil {
		return nil, err
	}
	list, next, err := f.service.Identities(ctx, p, tributary.PoolID(in.IdentityPoolID), in.NextToken, in.MaxResults, in.HideDisabled)
	if err != nil {
		return nil, err
	}
	out := &listIdentitiesOut{IdentityPoolID: in.IdentityPoolID, Identities: make([]identityShape, len(list)), NextToken: awswire.Nullable(next)}
	for i := range list {
		out.Identities[i] = showIdentity(&list[i])
	}
	return out, nil
}

type getIDIn struct {
	poolID
	AccountID string `json:"AccountId"`
	Logins    map[string]string
}

// errLogins answers a login while no provider is supported.
func errLogins() error {
	return tributary.Errorf(tributary.Denied, "check logins", "Token is not from a supported provider of this identity pool.")
}

func (f *front) getID(ctx context.Context, _ principal, in *getIDIn) (*identityID, error) {
	if len(in.Logins) > 0 {
		return nil, errLogins()
	}
	i, err := f.service.NewGuest(ctx, tributary.PoolID(in.IdentityPoolID))
	if err != nil {
		return nil, err
	}
	return &identityID{string(i.ID)}, nil
}

type getCredentialsIn struct {
	identityID
	Logins map[string]string
}

type getCredentialsOut struct {
	identityID
	Credentials struct {
		AccessKeyID  string `json:"AccessKeyId"`
		SecretKey    string
		SessionToken string
		Expiration   awswire.Timestamp
	}
}

func (f *front) getCredentials(ctx context.Context, _ principal, in *getCredentialsIn) (*getCredentialsOut, error) {
	if len(in.Logins) > 0 {
		return nil, errLogins()
	}
	i, err := f.service.Guest(ctx, tributary.IdentityID(in.IdentityID))
	if err != nil {
		return nil, err
	}
	c, until, err := f.issue(i)
	if err != nil {
		return nil, err
	}
	out := &getCredentialsOut{identityID: identityID{string(i.ID)}}
	out.Credentials.AccessKeyID, out.Credentials.SecretKey, out.Credentials.SessionToken = c.AccessKeyID, c.SecretKey, c.SessionToken
	out.Credentials.Expiration = awswire.Timestamp(until.UnixMilli())
	return out, nil
}
