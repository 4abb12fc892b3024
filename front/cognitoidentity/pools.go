package cognitoidentity

import (
	"context"

	"tributary"
	"tributary/awswire"
)

// poolShape is an identity pool on the wire, as input and as output.
type poolShape struct {
	IdentityPoolID                 string            `json:"IdentityPoolId,omitzero"`
	IdentityPoolName               string            `json:",omitzero"`
	AllowUnauthenticatedIdentities *bool             `json:",omitzero"`
	AllowClassicFlow               *bool             `json:",omitzero"`
	SupportedLoginProviders        map[string]string `json:",omitempty"`
	DeveloperProviderName          string            `json:",omitzero"`
	OpenIDConnectProviderARNs      []string          `json:"OpenIdConnectProviderARNs,omitempty"`
	CognitoIdentityProviders       []cognitoProvider `json:",omitempty"`
	SamlProviderARNs               []string          `json:",omitempty"`
	IdentityPoolTags               map[string]string `json:",omitempty"`
}

type cognitoProvider struct {
	ProviderName         string
	ClientID             string `json:"ClientId"`
	ServerSideTokenCheck *bool  `json:",omitzero"`
}

// read puts what the wire says of a pool into p. What it does not say reverts
// to its default, as on AWS.
func (in *poolShape) read(p *tributary.Pool) error {
	if err := checkTagCount(in.IdentityPoolTags); err != nil {
		return err
	}
	p.Name = in.IdentityPoolName
	p.AllowUnauthenticated, p.AllowClassicFlow = *in.AllowUnauthenticatedIdentities, in.AllowClassicFlow
	p.LoginProviders, p.DeveloperProvider = in.SupportedLoginProviders, in.DeveloperProviderName
	p.OpenIDProviders, p.SAMLProviders, p.Tags = in.OpenIDConnectProviderARNs, in.SamlProviderARNs, in.IdentityPoolTags
	p.CognitoProviders = nil
	for _, c := range in.CognitoIdentityProviders {
		p.CognitoProviders = append(p.CognitoProviders, tributary.CognitoProvider{Name: c.ProviderName, ClientID: c.ClientID, ServerSideTokenCheck: c.ServerSideTokenCheck})
	}
	return nil
}

func showPool(p *tributary.Pool) *poolShape {
	out := &poolShape{
		IdentityPoolID: string(p.ID), IdentityPoolName: p.Name,
		AllowUnauthenticatedIdentities: &p.AllowUnauthenticated, AllowClassicFlow: p.AllowClassicFlow,
		SupportedLoginProviders: p.LoginProviders, DeveloperProviderName: p.DeveloperProvider,
		OpenIDConnectProviderARNs: p.OpenIDProviders, SamlProviderARNs: p.SAMLProviders, IdentityPoolTags: p.Tags,
	}
	for _, c := range p.CognitoProviders {
		out.CognitoIdentityProviders = append(out.CognitoIdentityProviders, cognitoProvider{ProviderName: c.Name, ClientID: c.ClientID, ServerSideTokenCheck: c.ServerSideTokenCheck})
	}
	return out
}

func (f *front) createPool(ctx context.Context, p principal, in *poolShape) (*poolShape, error) {
	var pool tributary.Pool
	if err := in.read(&pool); err != nil {
		return nil, err
	}
	pool, err := f.service.CreatePool(ctx, p, pool)
	if err != nil {
		return nil, err
	}
	return showPool(&pool), nil
}

// poolRef is how a request names a pool.
type poolRef struct {
	IdentityPoolID string `json:"IdentityPoolId"`
}

func (r *poolRef) id() tributary.PoolID { return tributary.PoolID(r.IdentityPoolID) }

func (f *front) describePool(ctx context.Context, p principal, in *poolRef) (*poolShape, error) {
	pool, err := f.service.Pool(ctx, p, in.id())
	if err != nil {
		return nil, err
	}
	return showPool(&pool), nil
}

func (f *front) updatePool(ctx context.Context, p principal, in *poolShape) (*poolShape, error) {
	pool, err := f.service.ChangePool(ctx, p, tributary.PoolID(in.IdentityPoolID), in.read)
	if err != nil {
		return nil, err
	}
	return showPool(&pool), nil
}

type empty struct{}

func (f *front) deletePool(ctx context.Context, p principal, in *poolRef) (*empty, error) {
	if err := f.service.DeletePool(ctx, p, in.id()); err != nil {
		return nil, err
	}
	return &empty{}, nil
}

type listPoolsIn struct {
	MaxResults int
	NextToken  string
}

type shortPool struct {
	IdentityPoolID   string `json:"IdentityPoolId"`
	IdentityPoolName string
}

type listPoolsOut struct {
	IdentityPools []shortPool
	NextToken     *string `json:",omitzero"`
}

func (f *front) listPools(ctx context.Context, p principal, in *listPoolsIn) (*listPoolsOut, error) {
	pools, next, err := f.service.Pools(ctx, p, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	out := &listPoolsOut{IdentityPools: make([]shortPool, len(pools)), NextToken: awswire.Nullable(next)}
	for i := range pools {
		out.IdentityPools[i] = shortPool{string(pools[i].ID), pools[i].Name}
	}
	return out, nil
}
