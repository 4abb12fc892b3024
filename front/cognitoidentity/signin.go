package cognitoidentity

import (
	"context"

	"tributary"
	"tributary/awswire"
)

type getIDIn struct {
	poolRef
	Logins map[string]string
}

func (f *front) getID(ctx context.Context, _ principal, in *getIDIn) (*identityRef, error) {
	i, err := f.service.GetID(ctx, tributary.SignIn{Pool: in.id(), Logins: in.Logins})
	if err != nil {
		return nil, err
	}
	return &identityRef{string(i.ID)}, nil
}

type getCredentialsIn struct {
	identityRef
	Logins        map[string]string
	CustomRoleARN string `json:"CustomRoleArn"`
}

type getCredentialsOut struct {
	identityRef
	Credentials struct {
		AccessKeyID  string `json:"AccessKeyId"`
		SecretKey    string
		SessionToken string
		Expiration   awswire.Timestamp
	}
}

func (f *front) getCredentials(ctx context.Context, _ principal, in *getCredentialsIn) (*getCredentialsOut, error) {
	g, err := f.service.SignIn(ctx, tributary.SignIn{Identity: in.id(), Logins: in.Logins, CustomRole: in.CustomRoleARN})
	if err != nil {
		return nil, err
	}
	c, until, err := f.issue(g)
	if err != nil {
		return nil, err
	}
	out := &getCredentialsOut{identityRef: identityRef{string(g.Identity.ID)}}
	out.Credentials.AccessKeyID, out.Credentials.SecretKey, out.Credentials.SessionToken = c.AccessKeyID, c.SecretKey, c.SessionToken
	out.Credentials.Expiration = awswire.Timestamp(until.UnixMilli())
	return out, nil
}

type getTokenIn struct {
	identityRef
	Logins map[string]string
}

type tokenOut struct {
	identityRef
	Token string
}

func (f *front) getOpenIDToken(ctx context.Context, _ principal, in *getTokenIn) (*tokenOut, error) {
	i, token, err := f.service.Token(ctx, tributary.SignIn{Identity: in.id(), Logins: in.Logins})
	if err != nil {
		return nil, err
	}
	return &tokenOut{identityRef{string(i.ID)}, token}, nil
}

type unlinkIn struct {
	identityRef
	Logins         map[string]string
	LoginsToRemove []string
}

func (f *front) unlinkIdentity(ctx context.Context, _ principal, in *unlinkIn) (*empty, error) {
	err := f.service.Unlink(ctx, tributary.SignIn{Identity: in.id(), Logins: in.Logins}, in.LoginsToRemove)
	return &empty{}, err
}
