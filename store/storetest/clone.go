package storetest

import (
	"bytes"
	"maps"
	"slices"

	"tributary"
)

func clonePool(p tributary.Pool) tributary.Pool {
	p.AllowClassicFlow = cloneBool(p.AllowClassicFlow)
	p.LoginProviders, p.Tags = maps.Clone(p.LoginProviders), maps.Clone(p.Tags)
	p.OpenIDProviders, p.SAMLProviders = slices.Clone(p.OpenIDProviders), slices.Clone(p.SAMLProviders)
	p.Push.ApplicationARNs = slices.Clone(p.Push.ApplicationARNs)
	p.CognitoProviders = slices.Clone(p.CognitoProviders)
	for i := range p.CognitoProviders {
		c := &p.CognitoProviders[i]
		c.ServerSideTokenCheck = cloneBool(c.ServerSideTokenCheck)
	}
	return p
}

func cloneBool(b *bool) *bool {
	if b == nil {
		return nil
	}
	return new(*b)
}

func cloneIdentity(i tributary.Identity) tributary.Identity {
	i.Logins = slices.Clone(i.Logins)
	return i
}

func cloneStream(s tributary.Stream) tributary.Stream {
	s.Shards = slices.Clone(s.Shards)
	for i := range s.Shards {
		s.Shards[i].Parents = slices.Clone(s.Shards[i].Parents)
	}
	return s
}

// cloneEntry copies an entry without what is for the store alone.
func cloneEntry(e tributary.Entry) tributary.Entry {
	if e.Change != nil {
		c := logged(e.Change)
		e.Change = &c
	}
	if e.Foreign != nil {
		f := *e.Foreign
		f.Data = bytes.Clone(f.Data)
		e.Foreign = &f
	}
	return e
}

// logged is a Change as a log shows it.
func logged(c *tributary.Change) tributary.Change {
	l := *c
	l.Records = slices.Clone(c.Records)
	l.Condition, l.Next, l.Forgotten = tributary.Condition{}, tributary.Dataset{}, nil
	return l
}
