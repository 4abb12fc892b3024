package main

import (
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
	return callAndShow(&c.serverFlags, e, "POST", "pools", in)
}

type poolShowCmd struct {
	serverFlags
	Pool string `arg:"" help:"Id of the pool."`
}

// Run shows the pool.
func (c *poolShowCmd) Run(e *env) error {
	return callAndShow(&c.serverFlags, e, "GET", "pools/"+c.Pool, nil)
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
	return callAndShow(&c.serverFlags, e, "POST", "pools/"+c.Pool, in)
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

func callAndShow(s *serverFlags, e *env, method, path string, in any) error {
	var p api.Pool
	if err := s.call(e.ctx, e.lookup, method, path, in, &p); err != nil {
		return err
	}
	_, err := fmt.Fprintf(e.stdout, "pool           %s\nname           %s\nguests         %t\nvalue bytes    %d\ndataset bytes  %d\nrecords        %d\ndatasets       %d\n",
		p.PoolID, p.Name, p.AllowUnauthenticated, p.Limits.ValueBytes, p.Limits.DatasetBytes, p.Limits.Records, p.Limits.Datasets)
	for _, arn := range slices.Sorted(maps.Keys(p.OpenIDClients)) {
		_, _ = fmt.Fprintf(e.stdout, "openid client  %s %s\n", arn, strings.Join(p.OpenIDClients[arn], ","))
	}
	for _, arn := range slices.Sorted(maps.Keys(p.RolePolicies)) {
		_, _ = fmt.Fprintf(e.stdout, "role policy    %s\n", arn)
	}
	return err
}
