package sts

import (
	"context"
	"strconv"
	"time"

	"tributary"
	"tributary/awswire"
)

type assumeRoleIn struct{ tributary.AssumeRole }

// Bind takes the values of the form.
func (in *assumeRoleIn) Bind(p awswire.Params) error {
	const op = "read form"
	text := func(name string) string {
		v, _ := p.Query(name)
		return v
	}
	in.RoleARN, in.SessionName, in.Token, in.Policy = text("RoleArn"), text("RoleSessionName"), text("WebIdentityToken"), text("Policy")
	if text("PolicyArns.member.1.arn") != "" {
		return tributary.Errorf(tributary.Invalid, op, "PolicyArns names managed policies, which this server does not have: send a policy in Policy")
	}
	in.Duration = time.Hour
	if duration := text("DurationSeconds"); duration != "" {
		seconds, err := strconv.ParseInt(duration, 10, 32)
		if err != nil {
			return tributary.Errorf(tributary.Invalid, op, "DurationSeconds is %.32q, it must be a number of seconds between 900 and 43200", duration)
		}
		in.Duration = time.Duration(seconds) * time.Second
	}
	return nil
}

type assumeRoleOut struct {
	SubjectFromWebIdentityToken string
	Audience                    string
	AssumedRoleUser             struct {
		ARN string `xml:"Arn"`
		ID  string `xml:"AssumedRoleId"`
	}
	Credentials struct {
		AccessKeyID     string `xml:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      time.Time
	}
	Provider         string
	PackedPolicySize int `xml:",omitempty"` // percent
}

func (f *front) assumeRole(ctx context.Context, _ principal, in *assumeRoleIn) (*assumeRoleOut, error) {
	g, err := f.service.AssumeRole(ctx, in.AssumeRole)
	if err != nil {
		return nil, err
	}
	c, until, err := f.issue(g)
	if err != nil {
		return nil, err
	}
	out := &assumeRoleOut{
		SubjectFromWebIdentityToken: string(g.Identity.ID), Audience: string(g.Identity.Pool),
		Provider: tributary.OwnProvider, PackedPolicySize: tributary.PackedPolicySize(g.Policy),
	}
	who := f.service.Caller(principal{Identity: g.Identity.ID, Session: &tributary.Session{Role: g.Role, Name: g.Session}})
	out.AssumedRoleUser.ARN, out.AssumedRoleUser.ID = who.ARN, who.UserID
	out.Credentials.AccessKeyID, out.Credentials.SecretAccessKey, out.Credentials.SessionToken = c.AccessKeyID, c.SecretKey, c.SessionToken
	out.Credentials.Expiration = until.UTC()
	return out, nil
}

type nothing struct{}

type callerIdentityOut struct {
	ARN     string `xml:"Arn"`
	UserID  string `xml:"UserId"`
	Account string
}

func (f *front) callerIdentity(_ context.Context, p principal, _ *nothing) (*callerIdentityOut, error) {
	who := f.service.Caller(p)
	return &callerIdentityOut{ARN: who.ARN, UserID: who.UserID, Account: who.Account}, nil
}
