package tributary

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
)

// SignIn is what somebody shows who wants to be an identity.
type SignIn struct {
	Pool     PoolID     // "" if the identity tells
	Identity IdentityID // "" for whichever the logins lead to
	Logins   map[string]string
	// CustomRole is the role that is asked for; "" for the pool's choice.
	CustomRole string
}

// Grant is what a sign-in gives: an identity, how it was proven, and in which
// role it may act.
type Grant struct {
	Identity Identity
	Logins   []VerifiedLogin // none: a guest
	Role     string          // ARN; "" if the pool has none
	Tags     map[string]string

	// Of the classic flow.
	Session string        // name of the session; "" in the enhanced flow
	Policy  string        // document that bounds what the role allows; "": nothing does
	Life    time.Duration // of the credentials; 0: an hour
}

// GetID gives the identity that logins lead to, a new one if they lead to none,
// or a guest's without logins.
//
// Errors: Invalid; NotFound if the pool is; Denied if a login is not good, or
// the pool has no guests; Trigger if a provider cannot be asked; Exists, Limit
// if the logins do not go together.
func (s *Service) GetID(ctx context.Context, in SignIn) (Identity, error) {
	const op = "get id"
	if len(in.Logins) == 0 {
		return s.NewGuest(ctx, in.Pool)
	}
	pool, err := s.livePool(ctx, op, in.Pool)
	if err != nil {
		return Identity{}, err
	}
	proven, err := s.prove(ctx, &pool, in.Logins)
	if err != nil {
		return Identity{}, err
	}
	return s.link(ctx, &pool, "", proven)
}

// SignIn gives an identity to whoever proves to be its user. The identity may be
// another than the one that was asked for: one that this was merged into, or
// is merged into now.
//
// Errors: as of [Service.GetID]; NotFound if the identity is; Denied if the
// logins are not the identity's.
func (s *Service) SignIn(ctx context.Context, in SignIn) (Grant, error) {
	g, pool, err := s.signIn(ctx, in)
	if err != nil {
		return Grant{}, err
	}
	g.Role, err = pool.Role(g.Logins, in.CustomRole)
	return g, err
}

// signIn is SignIn without a role. It gives the identity's pool too.
func (s *Service) signIn(ctx context.Context, in SignIn) (Grant, Pool, error) {
	const op = "sign in"
	if len(in.Logins) == 0 {
		i, pool, err := s.guest(ctx, in.Identity)
		return Grant{Identity: i}, pool, err
	}
	if err := CheckIdentityID(in.Identity); err != nil {
		return Grant{}, Pool{}, err
	}
	i, err := s.Store.Identity(ctx, in.Identity)
	if err != nil {
		return Grant{}, Pool{}, err
	}
	pool, err := s.livePool(ctx, op, i.Pool)
	if err != nil {
		return Grant{}, Pool{}, err
	}
	proven, err := s.prove(ctx, &pool, in.Logins)
	if err != nil {
		return Grant{}, Pool{}, err
	}
	i, err = s.link(ctx, &pool, in.Identity, proven)
	return Grant{Identity: i, Logins: proven.logins, Tags: pool.tagsOf(proven)}, pool, err
}

// proof is what a sign-in proves.
type proof struct {
	logins []VerifiedLogin
	// owner is the identity that our own token names; "" without one.
	owner IdentityID
	tags  map[string]string // of our own token
	// call is the developer's who signs the user in; nil of who does so himself.
	call *Call
}

// prove checks all logins of a request.
func (s *Service) prove(ctx context.Context, pool *Pool, logins map[string]string) (*proof, error) {
	out := &proof{}
	for _, provider := range slices.Sorted(maps.Keys(logins)) {
		if provider == OwnProvider {
			if err := s.proveOwn(ctx, pool, logins[provider], out); err != nil {
				return nil, err
			}
			continue
		}
		if s.Logins == nil {
			return nil, errProvider("check logins")
		}
		l, err := s.Logins.VerifyLogin(ctx, pool, provider, logins[provider])
		if err != nil {
			return nil, err
		}
		out.logins = append(out.logins, l)
	}
	return out, nil
}

func errProvider(op string) error {
	return Errorf(Denied, op, "Token is not from a supported provider of this identity pool.")
}

// proveOwn takes a token that we issued to a developer for a user.
func (s *Service) proveOwn(ctx context.Context, pool *Pool, token string, out *proof) error {
	const op = "check logins"
	if s.Tokens == nil {
		return errProvider(op)
	}
	t, err := s.Tokens.OpenToken(ctx, token)
	if err != nil {
		return err
	}
	if t.Pool != pool.ID || len(t.Methods) < 2 || t.Methods[0] != "authenticated" {
		return errProvider(op)
	}
	if err := s.stillLinked(ctx, pool, &t); err != nil {
		return err
	}
	out.owner, out.tags = t.Identity, t.Tags
	login := Login{Provider: OwnProvider, User: string(t.Identity)}
	out.logins = append(out.logins, VerifiedLogin{Login: login, Claims: map[string]any{"sub": string(t.Identity), "aud": string(t.Pool)}})
	return nil
}

// stillLinked refuses a token of which no user of the developer provider leads
// to the identity any more.
func (s *Service) stillLinked(ctx context.Context, pool *Pool, t *OpenIDToken) error {
	own, err := s.current(ctx, t.Identity)
	if err != nil {
		return err
	}
	if own.Disabled { // its last login was taken off since
		return Errorf(Denied, "check logins", "Access to Identity '%s' is forbidden.", own.ID)
	}
	for _, m := range t.Methods {
		user, ok := strings.CutPrefix(m, pool.DeveloperProvider+":"+string(pool.ID)+":")
		if ok && pool.DeveloperProvider != "" && slices.Contains(own.Logins, Login{pool.DeveloperProvider, user}) {
			return nil
		}
	}
	return errProvider("check logins")
}

// tagsOf are the principal tags of who proved this.
func (p *Pool) tagsOf(proven *proof) map[string]string {
	out := map[string]string{}
	for i := range proven.logins {
		if m, ok := p.PrincipalTags[proven.logins[i].Provider]; ok {
			maps.Copy(out, m.Apply(proven.logins[i].Claims))
		}
	}
	maps.Copy(out, proven.tags)
	return out
}

// link gives the identity that proven logins lead to, or links them to the one
// that was asked for. Identities that meet are merged.
func (s *Service) link(ctx context.Context, pool *Pool, asked IdentityID, proven *proof) (Identity, error) {
	for range commitTries {
		if i, err := s.linkOnce(ctx, pool, asked, proven); KindOf(err) != Stale {
			return i, err
		}
	}
	return Identity{}, busy("link logins")
}

func (s *Service) linkOnce(ctx context.Context, pool *Pool, asked IdentityID, proven *proof) (Identity, error) {
	owners, fresh, err := s.owners(ctx, pool.ID, proven)
	if err != nil {
		return Identity{}, err
	}
	winner, others, err := s.choose(ctx, asked, owners)
	if err != nil {
		return Identity{}, err
	}
	return s.join(ctx, proven.call, pool, winner, others, fresh)
}

// join merges others into the winner, a new identity if it has no id, and links
// logins to it that lead to none. Nothing is done if not all can be.
func (s *Service) join(ctx context.Context, call *Call, pool *Pool, winner Identity, others []Identity, fresh []Login) (Identity, error) {
	if err := checkJoin(pool, &winner, others, fresh); err != nil {
		return Identity{}, err
	}
	for _, loser := range others {
		var err error
		if winner, err = s.merge(ctx, call, winner, loser); err != nil {
			return Identity{}, err
		}
	}
	return s.addLogins(ctx, pool, winner, fresh)
}

// owners finds the identities that proven logins lead to, each once, in the
// logins' order, and the logins that lead to none.
func (s *Service) owners(ctx context.Context, pool PoolID, proven *proof) (owners []Identity, fresh []Login, err error) {
	add := func(id IdentityID) error {
		if slices.ContainsFunc(owners, func(i Identity) bool { return i.ID == id }) {
			return nil
		}
		i, err := s.current(ctx, id)
		if err == nil && !slices.ContainsFunc(owners, func(o Identity) bool { return o.ID == i.ID }) {
			owners = append(owners, i)
		}
		return err
	}
	for i := range proven.logins {
		l := proven.logins[i].Login
		id, err := proven.owner, error(nil)
		if l.Provider != OwnProvider {
			id, err = s.Store.FindLogin(ctx, pool, l)
		}
		if KindOf(err) == NotFound {
			fresh = append(fresh, l)
			continue
		}
		if err == nil {
			err = add(id)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return owners, fresh, nil
}

// current reads an identity, or the one that it was merged into, when that has
// all of its data.
func (s *Service) current(ctx context.Context, id IdentityID) (Identity, error) {
	const op = "read identity"
	for {
		i, err := s.Store.Identity(ctx, id)
		switch {
		case err != nil:
			return Identity{}, err
		case i.Deleted():
			return Identity{}, noIdentity(op, id)
		case i.MergedInto == "":
			return i, nil
		case i.Unfinished:
			if err := s.finish(ctx, i.ID, false); err != nil {
				return Identity{}, err
			}
		}
		id = i.MergedInto
	}
}

// choose tells which identity stays, and which are merged into it. A guest goes
// to the user that the logins name; a user stays who asked for.
func (s *Service) choose(ctx context.Context, asked IdentityID, owners []Identity) (winner Identity, others []Identity, err error) {
	const op = "link logins"
	if asked == "" {
		if len(owners) == 0 {
			return Identity{}, nil, nil
		}
		return owners[0], owners[1:], nil
	}
	i, err := s.current(ctx, asked)
	if err != nil {
		return Identity{}, nil, err
	}
	at := slices.IndexFunc(owners, func(o Identity) bool { return o.ID == i.ID })
	switch {
	case at >= 0:
		return i, slices.Delete(slices.Clone(owners), at, at+1), nil
	case len(i.Logins) > 0 || i.Disabled:
		return Identity{}, nil, Errorf(Denied, op, "Logins don't match. Please include at least one valid login for this identity or identity pool.")
	case len(owners) == 0:
		return i, nil, nil
	}
	return owners[0], append(owners[1:len(owners):len(owners)], i), nil
}

// addLogins links logins to an identity, to a new one if it has no id. Stale if
// another request linked one of them meanwhile.
func (s *Service) addLogins(ctx context.Context, pool *Pool, i Identity, fresh []Login) (Identity, error) {
	if len(fresh) == 0 && i.ID != "" {
		return i, nil
	}
	if i.ID == "" {
		i = Identity{ID: IdentityID(newID(pool.ID.Region())), Pool: pool.ID, Created: MillisOf(s.now())}
	}
	i.Logins = slices.Concat(i.Logins, fresh)
	i.Modified, i.Disabled = MillisOf(s.now()), false
	err := s.Store.PutIdentity(ctx, i)
	if KindOf(err) == Exists {
		return Identity{}, &Error{Kind: Stale, Op: "link logins", Err: err}
	}
	i.Revision++
	return i, err
}

// Unlink takes logins off an identity, for its user.
//
// Errors: as of [Service.SignIn].
func (s *Service) Unlink(ctx context.Context, in SignIn, remove []string) error {
	const op = "unlink identity"
	if err := CheckIdentityID(in.Identity); err != nil {
		return err
	}
	i, err := s.current(ctx, in.Identity)
	if err != nil {
		return err
	}
	pool, err := s.livePool(ctx, op, i.Pool)
	if err != nil {
		return err
	}
	proven, err := s.prove(ctx, &pool, in.Logins)
	if err != nil {
		return err
	}
	owners, _, err := s.owners(ctx, pool.ID, proven)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(owners, func(o Identity) bool { return o.ID == i.ID }) {
		return Errorf(Denied, op, "Logins don't match. Please include at least one valid login for this identity or identity pool.")
	}
	return s.dropLogins(ctx, i.ID, func(l Login) bool { return slices.Contains(remove, l.Provider) })
}

// dropLogins takes logins off an identity. One that has none left is disabled:
// it must not become a guest's, which anybody may be who knows its id.
func (s *Service) dropLogins(ctx context.Context, id IdentityID, drop func(Login) bool) error {
	for range commitTries {
		i, err := s.current(ctx, id)
		if err != nil {
			return err
		}
		left := slices.DeleteFunc(slices.Clone(i.Logins), drop)
		if len(left) == len(i.Logins) {
			return nil
		}
		i.Logins, i.Disabled, i.Modified = left, len(left) == 0, MillisOf(s.now())
		if err := s.Store.PutIdentity(ctx, i); KindOf(err) != Stale {
			return err
		}
	}
	return busy("unlink identity")
}
