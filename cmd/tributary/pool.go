package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"tributary/front/api"
)

type poolCmd struct {
	Create   poolCreateCmd   `cmd:"" help:"Create a pool, with a given id if one is named."`
	Show     poolShowCmd     `cmd:"" help:"Show a pool and the limits in force."`
	Set      poolSetCmd      `cmd:"" help:"Set a pool's limits. What is not named stays; 0 is AWS's limit."`
	Identity poolIdentityCmd `cmd:"" help:"Create an identity with a given id."`

	WebhookKey poolWebhookKeyCmd `cmd:"" help:"Show the key that signs what is sent to a webhook of a pool."`
}

type poolCreateCmd struct {
	serverFlags
	ID     string `help:"Id of the pool, such as us-east-1:<uuid>. Default: a new one."`
	Guests bool   `help:"Allow identities without a login."`
	Name   string `arg:"" help:"Name of the pool."`
}

// Run creates the pool.
func (c *poolCreateCmd) Run(e *env) error {
	in := map[string]any{"PoolId": c.ID, "Name": c.Name, "AllowUnauthenticated": c.Guests}
	p, err := callPool(&c.serverFlags, e, "POST", "pools", in)
	return showPool(e, p, err)
}

type poolShowCmd struct {
	serverFlags
	RolePolicy string `help:"Print the policy of a role, by its ARN, instead." placeholder:"ARN"`
	Pool       string `arg:"" help:"Id of the pool."`
}

// Run shows the pool.
func (c *poolShowCmd) Run(e *env) error {
	p, err := callPool(&c.serverFlags, e, "GET", "pools/"+c.Pool, nil)
	if err != nil || c.RolePolicy == "" {
		return showPool(e, p, err)
	}
	document, found := p.RolePolicies[c.RolePolicy]
	if !found {
		return fmt.Errorf("the pool has no policy of the role %s", c.RolePolicy)
	}
	return printDocument(e, document)
}

type poolSetCmd struct {
	serverFlags
	Pool         string    `arg:"" help:"Id of the pool."`
	Guests       *bool     `help:"Allow identities without a login." negatable:""`
	ValueBytes   *byteSize `help:"Bytes of one value." placeholder:"SIZE"`
	DatasetBytes *byteSize `help:"Bytes of all keys and values of a dataset." placeholder:"SIZE"`
	Records      *int64    `help:"Records of a dataset." placeholder:"N"`
	Datasets     *int64    `help:"Datasets of an identity." placeholder:"N"`

	OpenIDClients map[string]string `name:"openid-clients" help:"Client ids that tokens of an OpenID provider may be for, divided by commas, by the provider's ARN; none removes them." placeholder:"ARN=ID,ID" mapsep:"none"`
	RolePolicy    map[string]string `help:"IAM policy of a role, by its ARN; none removes it." placeholder:"ARN=FILE" mapsep:"none"`
}

// Run sets what is named.
func (c *poolSetCmd) Run(e *env) error {
	in := map[string]any{}
	if c.Guests != nil {
		in["AllowUnauthenticated"] = *c.Guests
	}
	for name, v := range map[string]*byteSize{"ValueBytes": c.ValueBytes, "DatasetBytes": c.DatasetBytes} {
		if v != nil {
			in[name] = int64(*v)
		}
	}
	for name, v := range map[string]*int64{"Records": c.Records, "Datasets": c.Datasets} {
		if v != nil {
			in[name] = *v
		}
	}
	if err := c.signIn(in); err != nil {
		return err
	}
	p, err := callPool(&c.serverFlags, e, "POST", "pools/"+c.Pool, in)
	if err == nil {
		c.tellEarly(e, p)
	}
	return showPool(e, p, err)
}

// tellEarly says what was set that does not count yet: AWS's order of calls may
// be so, but a wrong ARN looks the same.
func (c *poolSetCmd) tellEarly(e *env, p *api.Pool) {
	for _, arn := range slices.Sorted(maps.Keys(c.OpenIDClients)) {
		if c.OpenIDClients[arn] != nothing && !slices.Contains(p.OpenIDProviders, arn) {
			_, _ = fmt.Fprintf(e.stderr, "the pool has no OpenID provider %s yet: its client ids count once UpdateIdentityPool names it\n", arn)
		}
	}
	for _, arn := range slices.Sorted(maps.Keys(c.RolePolicy)) {
		if c.RolePolicy[arn] != nothing && !slices.Contains(p.Roles, arn) && !p.RolesOfTokens {
			_, _ = fmt.Fprintf(e.stderr, "the pool has no role %s yet: the policy counts once SetIdentityPoolRoles names it\n", arn)
		}
	}
}

// nothing is the word that removes a setting.
const nothing = "none"

// signIn adds what is to be set for signing in.
func (c *poolSetCmd) signIn(in map[string]any) error {
	clients, policies := map[string][]string{}, map[string]string{}
	for arn, ids := range c.OpenIDClients {
		clients[arn] = []string{}
		if ids != nothing {
			clients[arn] = strings.Split(ids, ",")
		}
	}
	for arn, file := range c.RolePolicy {
		policies[arn] = ""
		if file == nothing {
			continue
		}
		document, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		policies[arn] = string(document)
	}
	if len(clients) > 0 {
		in["OpenIDClients"] = clients
	}
	if len(policies) > 0 {
		in["RolePolicies"] = policies
	}
	return nil
}

type poolIdentityCmd struct {
	serverFlags
	Pool     string `arg:"" help:"Id of the pool."`
	Identity string `arg:"" help:"Id of the identity, such as us-east-1:<uuid>."`
}

// Run creates the identity.
func (c *poolIdentityCmd) Run(e *env) error {
	var out struct {
		PoolID     string `json:"PoolId"`
		IdentityID string `json:"IdentityId"`
	}
	if err := c.call(e.ctx, e.lookup, "POST", "pools/"+c.Pool+"/identities", map[string]any{"IdentityId": c.Identity}, &out); err != nil {
		return err
	}
	_, err := fmt.Fprintf(e.stdout, "pool      %s\nidentity  %s\n", out.PoolID, out.IdentityID)
	return err
}

func callPool(s *serverFlags, e *env, method, path string, in any) (*api.Pool, error) {
	p := new(api.Pool)
	return p, s.call(e.ctx, e.lookup, method, path, in, p)
}

// showPool prints a pool that a call gave.
func showPool(e *env, p *api.Pool, err error) error {
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "pool           %s\nname           %s\nguests         %t\nvalue bytes    %d\ndataset bytes  %d\nrecords        %d\ndatasets       %d\n",
		p.PoolID, p.Name, p.AllowUnauthenticated, p.Limits.ValueBytes, p.Limits.DatasetBytes, p.Limits.Records, p.Limits.Datasets)
	for _, arn := range withKeys(p.OpenIDProviders, p.OpenIDClients) {
		clients := cmp.Or(strings.Join(p.OpenIDClients[arn], ","), nothing)
		_, _ = fmt.Fprintf(e.stdout, "openid client  %s %s%s\n", arn, clients, early(slices.Contains(p.OpenIDProviders, arn)))
	}
	showRoles(e, p)
	for _, arn := range withKeys(p.Roles, p.RolePolicies) {
		policy := nothing
		if p.RolePolicies[arn] != "" {
			policy = "yes"
		}
		_, _ = fmt.Fprintf(e.stdout, "role policy    %s %s%s\n", arn, policy, early(slices.Contains(p.Roles, arn) || p.RolesOfTokens))
	}
	return err
}

// showRoles says whose the pool's roles are, if it has any. A pool with one of the
// two gives those whom the other is for no credentials.
func showRoles(e *env, p *api.Pool) {
	if p.AuthenticatedRole == "" && p.UnauthenticatedRole == "" {
		return
	}
	const refused = " get InvalidIdentityPoolConfigurationException: SetIdentityPoolRoles gives a role"
	users, guests := p.AuthenticatedRole, p.UnauthenticatedRole
	if users == "" {
		users = nothing + ": users whom no mapping gives one" + refused
	}
	if guests == "" {
		guests = nothing
		if p.AllowUnauthenticated {
			guests += ": guests" + refused
		}
	}
	_, _ = fmt.Fprintf(e.stdout, "user role      %s\nguest role     %s\n", users, guests)
}

// early marks what the pool does not have yet.
func early(has bool) string {
	if has {
		return ""
	}
	return " (not of the pool yet)"
}

// withKeys lists names, and the keys of a map that are not among them, in order.
func withKeys[V any](names []string, m map[string]V) []string {
	all := slices.AppendSeq(slices.Clone(names), maps.Keys(m))
	slices.Sort(all)
	return slices.Compact(all)
}
