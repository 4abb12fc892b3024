package tributary

import (
	"context"
	"maps"
	"slices"
	"time"
	"unicode/utf8"
)

// Token gives an OpenID token to whoever proves to be an identity's user.
//
// Errors: as of [Service.SignIn]; Invalid if the pool does not allow the
// classic flow.
func (s *Service) Token(ctx context.Context, in SignIn) (Identity, string, error) {
	const op = "get open id token"
	g, pool, err := s.signIn(ctx, in) // which role it is for, STS is told
	if err != nil {
		return Identity{}, "", err
	}
	if pool.AllowClassicFlow != nil && !*pool.AllowClassicFlow {
		return Identity{}, "", Errorf(Invalid, op, "Basic (classic) flow is not enabled, please use enhanced flow.")
	}
	token, err := s.issue(ctx, &pool, &g, tokenLife)
	return g.Identity, token, err
}

// issue makes an OpenID token of an identity that has signed in.
func (s *Service) issue(ctx context.Context, pool *Pool, g *Grant, life time.Duration) (string, error) {
	if s.Tokens == nil {
		return "", Errorf(Unavailable, "issue token", "This server does not issue OpenID tokens")
	}
	methods := []string{"unauthenticated"}
	if len(g.Logins) > 0 {
		methods = []string{"authenticated"}
		for _, l := range g.Logins {
			methods = append(methods, l.Provider, l.Provider+":"+string(pool.ID)+":"+l.User)
		}
	}
	return s.Tokens.IssueToken(ctx, OpenIDToken{
		Pool: pool.ID, Identity: g.Identity.ID, Methods: methods, Tags: g.Tags, Roles: pool.mappedRoles(g.Logins), Until: s.now().Add(life),
	})
}

// DeveloperSignIn is how a developer's backend signs a user in.
type DeveloperSignIn struct {
	SignIn
	Tags map[string]string // principal tags of the token
	Life time.Duration     // of the token; 0: 15 minutes
}

// DeveloperToken gives a developer an OpenID token of a user of the pool's
// developer provider, whom it links to the identity asked for, or to a new one.
//
// Errors: Denied; Invalid; NotFound; Taken if the user is linked to another
// identity than the one asked for; Exists, Limit if logins do not go together.
func (s *Service) DeveloperToken(ctx context.Context, p Principal, in DeveloperSignIn) (Identity, string, error) {
	const op = "get open id token for developer identity"
	pool, err := s.Pool(ctx, p, in.Pool)
	if err != nil {
		return Identity{}, "", err
	}
	if in.Life == 0 {
		in.Life = developerTokenLife
	}
	if in.Life < time.Second || in.Life > maxTokenLife {
		return Identity{}, "", Errorf(Invalid, op, "1 validation error detected: Value '%d' at 'tokenDuration' failed to satisfy constraint: Member must be between 1 and 86400", int64(in.Life.Seconds()))
	}
	if pool.DeveloperProvider == "" {
		return Identity{}, "", Errorf(Invalid, op, "This identity pool has no developer provider. Please set its DeveloperProviderName.")
	}
	user, ok := in.Logins[pool.DeveloperProvider]
	if !ok {
		return Identity{}, "", Errorf(Invalid, op, "Please provide a login of the developer provider of this identity pool, %s.", pool.DeveloperProvider)
	}
	if err := checkDeveloperUser(user); err != nil {
		return Identity{}, "", err
	}
	others := maps.Clone(in.Logins)
	delete(others, pool.DeveloperProvider)
	proven, err := s.prove(ctx, &pool, others)
	if err != nil {
		return Identity{}, "", err
	}
	login := Login{Provider: pool.DeveloperProvider, User: user}
	proven.logins, proven.call = append(proven.logins, VerifiedLogin{Login: login}), p.Call
	i, err := s.linkDeveloper(ctx, &pool, in.Identity, login, proven)
	if err != nil {
		return Identity{}, "", err
	}
	token, err := s.issue(ctx, &pool, &Grant{Identity: i, Logins: proven.logins, Tags: in.Tags}, in.Life)
	return i, token, err
}

func checkDeveloperUser(user string) error {
	const most = 1024
	if n := utf8.RuneCountInString(user); n == 0 || n > most {
		return Errorf(Invalid, "check developerUserIdentifier", "1 validation error detected: Value '%s' at 'developerUserIdentifier' failed to satisfy constraint: Member must have length between 1 and %d", clip(user), most)
	}
	return nil
}

// linkDeveloper is link for a developer, who may link a user to any identity of
// the pool, but not take it from another.
func (s *Service) linkDeveloper(ctx context.Context, pool *Pool, asked IdentityID, login Login, proven *proof) (Identity, error) {
	const op = "link logins"
	if asked == "" {
		return s.link(ctx, pool, "", proven)
	}
	if err := CheckIdentityID(asked); err != nil {
		return Identity{}, err
	}
	for range commitTries {
		i, err := s.current(ctx, asked)
		if err != nil {
			return Identity{}, err
		}
		if i.Pool != pool.ID {
			return Identity{}, noIdentity(op, asked)
		}
		owners, fresh, err := s.owners(ctx, pool.ID, proven)
		if err != nil {
			return Identity{}, err
		}
		others := slices.DeleteFunc(owners, func(o Identity) bool { return o.ID == i.ID })
		if slices.ContainsFunc(others, func(o Identity) bool { return slices.Contains(o.Logins, login) }) {
			return Identity{}, Errorf(Taken, op, "The developer user identifier is already registered with another identity.")
		}
		if i, err = s.join(ctx, proven.call, pool, i, others, fresh); KindOf(err) != Stale {
			return i, err
		}
	}
	return Identity{}, busy(op)
}

// DeveloperQuery asks for the identity of a developer provider's user, for the
// users of an identity, or whether both belong together.
type DeveloperQuery struct {
	Pool      PoolID
	Identity  IdentityID // "" to find it
	User      string     // "" to list them
	NextToken string     // of the page before
	Most      int        // users of a page; 0: all
}

// DeveloperUsers is an identity with users of the developer provider.
type DeveloperUsers struct {
	Identity  IdentityID
	Users     []string
	NextToken string // "" on the last page
}

// LookupDeveloper answers a query.
//
// Errors: Denied; Invalid; NotFound; Exists if the two do not belong together.
func (s *Service) LookupDeveloper(ctx context.Context, p Principal, q DeveloperQuery) (DeveloperUsers, error) {
	const op = "lookup developer identity"
	of, err := s.Pool(ctx, p, q.Pool)
	if err != nil {
		return DeveloperUsers{}, err
	}
	if q.Identity == "" && q.User == "" {
		return DeveloperUsers{}, Errorf(Invalid, op, "Please provide an IdentityId or a DeveloperUserIdentifier.")
	}
	if q.User != "" {
		owner, err := s.developerUser(ctx, op, &of, q.User)
		if err == nil && q.Identity != "" && owner != q.Identity {
			err = Errorf(Exists, op, "The IdentityId and the DeveloperUserIdentifier do not belong together.")
		}
		return DeveloperUsers{Identity: owner, Users: []string{q.User}}, err
	}
	i, err := s.ownIdentity(ctx, op, q.Pool, q.Identity)
	if err != nil {
		return DeveloperUsers{}, err
	}
	var users []string
	for _, l := range i.Logins {
		if l.Provider == of.DeveloperProvider {
			users = append(users, l.User)
		}
	}
	slices.Sort(users)
	users, next, err := pageOfNames(users, q.NextToken, q.Most)
	return DeveloperUsers{q.Identity, users, next}, err
}

// pageOfNames gives up to most of the sorted names above a token's.
func pageOfNames(names []string, token string, most int) ([]string, string, error) {
	if token != "" {
		above, err := decodeName(token)
		if err != nil {
			return nil, "", err
		}
		n, found := slices.BinarySearch(names, above)
		if found {
			n++
		}
		names = names[n:]
	}
	if most > 0 && len(names) > most {
		return names[:most], encodeName(names[most-1]), nil
	}
	return names, "", nil
}

func (s *Service) developerUser(ctx context.Context, op string, pool *Pool, user string) (IdentityID, error) {
	id, err := s.Store.FindLogin(ctx, pool.ID, Login{Provider: pool.DeveloperProvider, User: user})
	if KindOf(err) == NotFound {
		err = Errorf(NotFound, op, "Developer user identifier '%s' not found.", clip(user))
	}
	return id, err
}

// ownIdentity reads an identity of a pool.
func (s *Service) ownIdentity(ctx context.Context, op string, pool PoolID, id IdentityID) (Identity, error) {
	if err := CheckIdentityID(id); err != nil {
		return Identity{}, err
	}
	i, err := s.Store.Identity(ctx, id)
	if err == nil && (i.Pool != pool || i.Deleted()) {
		err = noIdentity(op, id)
	}
	return i, err
}

// MergeDevelopers merges the identity of one user of the pool's developer
// provider into that of another, and gives the one that stays.
//
// Errors: Denied; Invalid; NotFound; Exists, Limit if their logins do not go
// together.
func (s *Service) MergeDevelopers(ctx context.Context, p Principal, pool PoolID, provider, source, destination string) (IdentityID, error) {
	const op = "merge developer identities"
	of, err := s.developerPool(ctx, p, op, pool, provider)
	if err != nil {
		return "", err
	}
	for range commitTries {
		var pair [2]Identity
		for n, user := range []string{destination, source} {
			id, err := s.developerUser(ctx, op, &of, user)
			if err != nil {
				return "", err
			}
			if pair[n], err = s.current(ctx, id); err != nil {
				return "", err
			}
		}
		if pair[0].ID == pair[1].ID {
			return pair[0].ID, nil
		}
		winner, err := s.join(ctx, p.Call, &of, pair[0], pair[1:], nil)
		if KindOf(err) != Stale {
			return winner.ID, err
		}
	}
	return "", busy(op)
}

// developerPool reads a pool, whose developer provider must be as named.
func (s *Service) developerPool(ctx context.Context, p Principal, op string, id PoolID, provider string) (Pool, error) {
	pool, err := s.Pool(ctx, p, id)
	if err == nil && (provider == "" || provider != pool.DeveloperProvider) {
		err = Errorf(Invalid, op, "The developer provider '%s' is not that of this identity pool, '%s'.", clip(provider), pool.DeveloperProvider)
	}
	return pool, err
}

// UnlinkDeveloper takes a user of the pool's developer provider off an identity.
//
// Errors: Denied; Invalid; NotFound if the identity is not there; Exists if the
// user is not the identity's.
func (s *Service) UnlinkDeveloper(ctx context.Context, p Principal, pool PoolID, id IdentityID, provider, user string) error {
	const op = "unlink developer identity"
	if _, err := s.developerPool(ctx, p, op, pool, provider); err != nil {
		return err
	}
	i, err := s.ownIdentity(ctx, op, pool, id)
	if err != nil {
		return err
	}
	login := Login{Provider: provider, User: user}
	if !slices.Contains(i.Logins, login) {
		return Errorf(Exists, op, "Developer user identifier '%s' is not linked to identity '%s'.", clip(user), id)
	}
	return s.dropLogins(ctx, id, func(l Login) bool { return l == login })
}

// DeleteIdentities deletes identities with their data. From then on they are
// refused to all. It gives those that could not be deleted: those that are not
// there are Denied.
func (s *Service) DeleteIdentities(ctx context.Context, p Principal, ids []IdentityID) (map[IdentityID]error, error) {
	const op = "delete identities"
	if err := s.Allow(p, op, allResources); err != nil {
		return nil, err
	}
	for _, id := range ids {
		if err := CheckIdentityID(id); err != nil {
			return nil, err
		}
	}
	failed := map[IdentityID]error{}
	for _, id := range ids {
		if err := s.deleteIdentity(ctx, id); err != nil {
			failed[id] = err
		}
	}
	s.wakeSweep()
	return failed, nil
}

func (s *Service) deleteIdentity(ctx context.Context, id IdentityID) error {
	const op = "delete identities"
	for range commitTries {
		i, err := s.Store.Identity(ctx, id)
		if KindOf(err) == NotFound || err == nil && i.Deleted() {
			return Errorf(Denied, op, "Access to Identity '%s' is forbidden.", id)
		}
		if err != nil {
			return err
		}
		if i.Unfinished { // its data is another's by now
			if err := s.finish(ctx, i.ID, false); err != nil {
				return err
			}
			continue
		}
		i.Logins, i.MergedInto, i.Disabled, i.Unfinished, i.Modified = nil, "", true, true, MillisOf(s.now())
		if err := s.Store.PutIdentity(ctx, i); KindOf(err) != Stale {
			return err
		}
	}
	return busy(op)
}
