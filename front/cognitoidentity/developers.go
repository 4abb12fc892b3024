package cognitoidentity

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"tributary"
	"tributary/awswire"
)

type developerTokenIn struct {
	poolRef
	identityRef
	Logins        map[string]string
	PrincipalTags map[string]string
	TokenDuration int64 // seconds
}

func (f *front) getDeveloperToken(ctx context.Context, p principal, in *developerTokenIn) (*tokenOut, error) {
	i, token, err := f.service.DeveloperToken(ctx, p, tributary.DeveloperSignIn{
		SignIn: tributary.SignIn{Pool: in.poolRef.id(), Identity: in.identityRef.id(), Logins: in.Logins},
		Tags:   in.PrincipalTags, Life: time.Duration(in.TokenDuration) * time.Second,
	})
	if err != nil {
		return nil, err
	}
	p.Call.Detail("IdentityID", string(i.ID))
	p.Call.Detail("Providers", strings.Join(slices.Sorted(maps.Keys(in.Logins)), ", "))
	return &tokenOut{identityRef{string(i.ID)}, token}, nil
}

type lookupIn struct {
	poolRef
	identityRef
	DeveloperUserIdentifier string
	MaxResults              int
	NextToken               string
}

type lookupOut struct {
	identityRef
	DeveloperUserIdentifierList []string
	NextToken                   *string `json:",omitzero"`
}

func (f *front) lookupDeveloper(ctx context.Context, p principal, in *lookupIn) (*lookupOut, error) {
	out, err := f.service.LookupDeveloper(ctx, p, tributary.DeveloperQuery{
		Pool: in.poolRef.id(), Identity: in.identityRef.id(), User: in.DeveloperUserIdentifier, NextToken: in.NextToken, Most: in.MaxResults,
	})
	if err != nil {
		return nil, err
	}
	return &lookupOut{identityRef{string(out.Identity)}, out.Users, awswire.Nullable(out.NextToken)}, nil
}

type mergeIn struct {
	poolRef
	SourceUserIdentifier, DestinationUserIdentifier string
	DeveloperProviderName                           string
}

func (f *front) mergeDevelopers(ctx context.Context, p principal, in *mergeIn) (*identityRef, error) {
	id, err := f.service.MergeDevelopers(ctx, p, in.id(), in.DeveloperProviderName, in.SourceUserIdentifier, in.DestinationUserIdentifier)
	if err != nil {
		return nil, err
	}
	return &identityRef{string(id)}, nil
}

type unlinkDeveloperIn struct {
	poolRef
	identityRef
	DeveloperProviderName, DeveloperUserIdentifier string
}

func (f *front) unlinkDeveloper(ctx context.Context, p principal, in *unlinkDeveloperIn) (*empty, error) {
	err := f.service.UnlinkDeveloper(ctx, p, in.poolRef.id(), in.identityRef.id(), in.DeveloperProviderName, in.DeveloperUserIdentifier)
	p.Call.Detail("IdentityID", in.IdentityID)
	p.Call.Detail("Unlinked", in.DeveloperProviderName) // whom is the user's own affair
	return &empty{}, err
}
