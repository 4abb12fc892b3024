package main

import (
	"strings"
	"testing"

	"tributary"
)

// setRoles gives a pool roles and OpenID providers, as developers do by AWS's
// operations.
func (s *server) setRoles(t *testing.T, id tributary.PoolID, mappings map[string]tributary.RoleMapping, providers ...string) {
	t.Helper()
	_, err := s.service.ChangePool(t.Context(), tributary.Principal{Account: s.cfg.Account, AccessKey: "test"}, id, func(p *tributary.Pool) error {
		p.OpenIDProviders = providers
		return p.SetRoles("arn:aws:iam::000000000000:role/user", "arn:aws:iam::000000000000:role/guest", mappings)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPoolSignIn sets what a pool has not yet, and reads it back.
func TestPoolSignIn(t *testing.T) {
	s := startServer(t, func(c *serveCmd) { c.Warehouse = "none" })
	const (
		id       = "us-east-1:11111111-2222-4333-8444-555555555555"
		early    = "arn:aws:iam::000000000000:role/early"
		user     = "arn:aws:iam::000000000000:role/user"
		guest    = "arn:aws:iam::000000000000:role/guest"
		provider = "arn:aws:iam::000000000000:oidc-provider/login.example.org"
		other    = "arn:aws:iam::000000000000:oidc-provider/other.example.org"
	)
	pool := func(want int, args ...string) (stdout, stderr string) {
		t.Helper()
		code, stdout, stderr := tool(t, nil, append([]string{"pool", args[0], "--server", s.url(), "--data", s.cfg.Data}, args[1:]...)...)
		if code != want {
			t.Fatalf("%v: %d %s%s", args, code, stdout, stderr)
		}
		return stdout, stderr
	}
	pool(0, "create", "--id", id, "n")
	if stdout, stderr := pool(0, "set", id, "--records", "7"); strings.Contains(stdout, "role policy") || stderr != "" {
		t.Errorf("%s%s", stdout, stderr)
	}
	document := "{\n  " + onlyPools[1:] + "\n"
	stdout, stderr := pool(0, "set", id, "--role-policy", early+"="+file(t, document), "--role-policy", user+"="+file(t, onlyPools), "--openid-clients", provider+"=a,b")
	want := "the pool has no OpenID provider " + provider + " yet: its client ids count once UpdateIdentityPool names it\n" +
		"the pool has no role " + early + " yet: the policy counts once SetIdentityPoolRoles names it\n" +
		"the pool has no role " + user + " yet: the policy counts once SetIdentityPoolRoles names it\n"
	if stderr != want {
		t.Errorf("%s\nwant %s", stderr, want)
	}
	oneLine(t, stdout, "openid client  "+provider+" a,b (not of the pool yet)")
	oneLine(t, stdout, "role policy    "+early+" yes (not of the pool yet)")

	s.setRoles(t, id, nil, provider, other)
	stdout, _ = pool(0, "show", id)
	for _, line := range []string{
		"user role      " + user, "guest role     " + guest,
		"openid client  " + provider + " a,b", "openid client  " + other + " none",
		"role policy    " + early + " yes (not of the pool yet)", "role policy    " + guest + " none", "role policy    " + user + " yes",
	} {
		oneLine(t, stdout, line)
	}
	if _, stderr = pool(0, "set", id, "--role-policy", user+"="+file(t, onlyPools), "--role-policy", early+"=none", "--openid-clients", other+"=c"); stderr != "" {
		t.Errorf("%s", stderr)
	}
	s.setRoles(t, id, map[string]tributary.RoleMapping{"cognito-idp.us-east-1.amazonaws.com/x:client": {}}, provider) // tokens name roles
	stdout, stderr = pool(0, "set", id, "--role-policy", early+"="+file(t, onlyPools))
	if oneLine(t, stdout, "role policy    "+early+" yes"); stderr != "" {
		t.Errorf("%s", stderr)
	}
	pool(0, "set", id, "--role-policy", early+"=none")
	if stdout, _ = pool(0, "show", id, "--role-policy", user); stdout != onlyPools+"\n" {
		t.Errorf("%s", stdout)
	}
	if _, stderr = pool(1, "show", id, "--role-policy", early); !strings.Contains(stderr, "the pool has no policy of the role "+early) {
		t.Errorf("%s", stderr)
	}
	if _, stderr = pool(1, "set", id, "--role-policy", user+"="+file(t, strings.Replace(onlyPools, "*Pool", "*Pol", 1))); !strings.Contains(stderr, "tributary:*Pol matches no action; those of tributary are Backup, ") {
		t.Errorf("%s", stderr)
	}
}

// TestPoolRoles: who has which role, and who gets no credentials.
func TestPoolRoles(t *testing.T) {
	s := startServer(t, func(c *serveCmd) { c.Warehouse = "none" })
	const id, role = "us-east-1:11111111-2222-4333-8444-555555555555", "arn:aws:iam::000000000000:role/one"
	const refused = " get InvalidIdentityPoolConfigurationException: SetIdentityPoolRoles gives a role"
	show := func(users, guests string, open bool) string {
		t.Helper()
		_, err := s.service.ChangePool(t.Context(), tributary.Principal{Account: s.cfg.Account, AccessKey: "test"}, id, func(p *tributary.Pool) error {
			p.AllowUnauthenticated = open
			return p.SetRoles(users, guests, nil)
		})
		if err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := tool(t, nil, "pool", "show", "--server", s.url(), "--data", s.cfg.Data, id)
		if code != 0 {
			t.Fatal(stderr)
		}
		return stdout
	}
	if code, stdout, stderr := tool(t, nil, "pool", "create", "--server", s.url(), "--data", s.cfg.Data, "--id", id, "n"); code != 0 || strings.Contains(stdout, " role ") {
		t.Fatalf("%s%s", stdout, stderr)
	}
	for _, c := range []struct {
		users, guests string
		open          bool
		want          string
	}{
		{role, "", true, "user role      " + role + "\nguest role     none: guests" + refused + "\n"},
		{role, "", false, "user role      " + role + "\nguest role     none\n"},
		{"", role, true, "user role      none: users whom no mapping gives one" + refused + "\nguest role     " + role + "\n"},
	} {
		if out := show(c.users, c.guests, c.open); !strings.Contains(out, c.want) {
			t.Errorf("%s\nwant %s", out, c.want)
		}
	}
}
