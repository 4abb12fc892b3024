package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// accessKey runs a command on the server's access keys, through the server.
func (s *server) accessKey(credentials string, args ...string) result {
	s.t.Helper()
	return s.run(slices.Concat([]string{"access-key"}, args, []string{"--server", s.url, "--credentials", credentials})...)
}

// newKey makes a key, or rotates one, and gives the file that it is in.
func (s *server) newKey(credentials string, args ...string) (file string, k key) {
	s.t.Helper()
	r := s.accessKey(credentials, args...)
	m := keyPattern.FindStringSubmatch(r.stdout)
	if r.code != 0 || m == nil {
		s.t.Fatalf("%v: %v", args, r)
	}
	return s.file(r.stdout), key{m[1], m[2]}
}

func (s *server) file(text string) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *server) as(k key) *caller { return newCaller(s.url, k.id, k.secret, "") }

// documentedPolicies are those of docs/access.md, for a pool of the test.
func documentedPolicies(t *testing.T, pool string) (support, onePool, readPool, reader string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "access.md"))
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte("us-east-1:11111111-2222-4333-8444-555555555555"), []byte(pool))
	text = bytes.ReplaceAll(text, []byte("000000000000"), []byte(account))
	all := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(text, -1)
	const conditions = 1 // the last shows them, and is TestDocumentedPolicies'
	if len(all) != 4+conditions {
		t.Fatalf("docs/access.md has %d policies", len(all))
	}
	return string(all[0][1]), string(all[1][1]), string(all[2][1]), string(all[3][1])
}

// deniedTo is AWS's answer to who has a key and may not do what it asks for.
func deniedTo(k key, action, resource string) string {
	return "User: arn:aws:iam::" + account + ":user/" + k.id + " is not authorized to perform: " + action + " on resource: " + resource
}

// refusedTo wants an answer to say so.
func refusedTo(t *testing.T, a answer, k key, action, resource string) {
	t.Helper()
	var said struct{ Message, Type string }
	decode(t, bytes.Replace(a.body, []byte(`"__type"`), []byte(`"Type"`), 1), &said)
	code := a.header.Get("X-Amzn-Errortype") + said.Type
	if !strings.HasPrefix(code, "AccessDeniedException") || a.status != http.StatusForbidden && a.status != http.StatusBadRequest || said.Message != deniedTo(k, action, resource) {
		t.Errorf("status %d, %s: %s, want AccessDeniedException: %s", a.status, code, a.body, deniedTo(k, action, resource))
	}
}

// TestAccess holds keys to the policies of docs/access.md.
func TestAccess(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	admin, dev := filepath.Join(s.data, "credentials"), s.developer()
	pool, other := dev.newPool(t, "one"), dev.newPool(t, "other")
	g := dev.newGuest(t, pool)
	g.sync(t, g.dataset("notes"), replace("color", "blue", 0))
	dev.newStream(t, pool, "orders", 1)
	dev.newStream(t, other, "payments", 1)
	g.sync(t, g.dataset("notes"), replace("color", "red", 1))
	support, onePool, readPool, reader := documentedPolicies(t, pool)
	usage := func(pool string) string { return "/identitypools/" + url.PathEscape(pool) }
	sync := func(pool string) string { return "arn:aws:cognito-sync:us-east-1:" + account + ":identitypool/" + pool }
	identity := func(pool string) string {
		return "arn:aws:cognito-identity:us-east-1:" + account + ":identitypool/" + pool
	}
	stream := func(name string) string { return "arn:aws:kinesis:us-east-1:" + account + ":stream/" + name }
	refusedRPC := func(k key, service, operation string, in object, action, resource string) {
		t.Helper()
		a, err := s.as(k).rpc(service, operation, encode(t, in))
		if err != nil {
			t.Fatal(err)
		}
		refusedTo(t, a, k, action, resource)
	}

	t.Run("OnePool", func(t *testing.T) {
		s := s.in(t)
		_, k := s.newKey(admin, "create", "--name", "one pool", "--policy", s.file(onePool))
		c := s.as(k)
		c.rest(t, "GET", usage(pool), nil, nil)
		c.rest(t, "GET", g.dataset("notes").path()+"/records", nil, nil)
		c.call(t, identityService, "DescribeIdentityPool", object{"IdentityPoolId": pool}, nil)
		refusedTo(t, c.do(t, syncService, "GET", usage(other), nil), k, "cognito-sync:DescribeIdentityPoolUsage", sync(other))
		refusedRPC(k, identityService, "DescribeIdentityPool", object{"IdentityPoolId": other}, "cognito-identity:DescribeIdentityPool", identity(other))
		refusedRPC(k, identityService, "CreateIdentityPool", object{"IdentityPoolName": "new", "AllowUnauthenticatedIdentities": true}, "cognito-identity:CreateIdentityPool", "*")
		refusedRPC(k, kinesisService, "DeleteStream", object{"StreamName": "orders"}, "kinesis:DeleteStream", stream("orders"))
	})
	t.Run("Support", func(t *testing.T) {
		s := s.in(t)
		file, k := s.newKey(admin, "create", "--policy", s.file(support))
		c := s.as(k)
		c.rest(t, "GET", usage(other), nil, nil)
		c.rest(t, "GET", g.dataset("notes").path()+"/records", nil, nil)
		c.call(t, identityService, "ListIdentityPools", object{"MaxResults": 10}, nil)
		refusedTo(t, c.do(t, syncService, "DELETE", g.dataset("notes").path(), nil), k, "cognito-sync:DeleteDataset", sync(pool)+"/identity/"+g.identity+"/dataset/notes")
		refusedRPC(k, identityService, "DeleteIdentityPool", object{"IdentityPoolId": other}, "cognito-identity:DeleteIdentityPool", identity(other))
		for _, command := range [][]string{{"list"}, {"create"}, {"rotate", k.id}, {"policy", k.id, "none"}, {"delete", s.key().id}} {
			if r := s.accessKey(file, command...); r.code != 1 || !strings.Contains(r.stderr, "AccessDeniedException: User: arn:aws:iam::"+account+":user/"+k.id+" is not authorized to perform: tributary:") {
				t.Errorf("%v: %v", command, r)
			}
		}
	})
	t.Run("ReadOnePool", func(t *testing.T) {
		s := s.in(t)
		file, k := s.newKey(admin, "create", "--policy", s.file(readPool))
		c := s.as(k)
		c.rest(t, "GET", usage(pool), nil, nil)
		c.rest(t, "GET", g.dataset("notes").path()+"/records", nil, nil)
		c.rest(t, "GET", usage(pool)+"/identities/"+url.PathEscape(g.identity)+"/datasets", nil, nil)
		c.call(t, identityService, "ListIdentities", object{"IdentityPoolId": pool, "MaxResults": 10}, nil)
		c.call(t, identityService, "GetIdentityPoolRoles", object{"IdentityPoolId": pool}, nil)
		if r := s.run("pool", "show", "--server", s.url, "--credentials", file, pool); r.code != 0 {
			t.Errorf("%v", r)
		}
		refusedTo(t, c.do(t, syncService, "DELETE", g.dataset("notes").path(), nil), k, "cognito-sync:DeleteDataset", sync(pool)+"/identity/"+g.identity+"/dataset/notes")
		refusedTo(t, c.do(t, syncService, "GET", usage(other), nil), k, "cognito-sync:DescribeIdentityPoolUsage", sync(other))
		refusedRPC(k, identityService, "DescribeIdentityPool", object{"IdentityPoolId": other}, "cognito-identity:DescribeIdentityPool", identity(other))
	})
	t.Run("Reader", func(t *testing.T) {
		s := s.in(t)
		_, k := s.newKey(admin, "create", "--policy", s.file(reader))
		if events := s.as(k).readStream(t, "orders"); len(events) != 1 {
			t.Errorf("%+v", events)
		}
		refusedRPC(k, kinesisService, "ListShards", object{"StreamName": "payments"}, "kinesis:ListShards", stream("payments"))
		refusedRPC(k, kinesisService, "DeleteStream", object{"StreamName": "orders"}, "kinesis:DeleteStream", stream("orders"))
		refusedTo(t, s.as(k).do(t, syncService, "GET", usage(pool), nil), k, "cognito-sync:DescribeIdentityPoolUsage", sync(pool))
	})
	t.Run("NoPolicy", func(t *testing.T) {
		s := s.in(t)
		if r := s.accessKey(admin, "create", "--policy", s.file(`{"Statement": {"Effect": "Allow", "Action": "s3:*", "Resources": "*"}}`)); r.code != 1 || !strings.Contains(r.stderr, "InvalidParameterException: The policy is not valid: statement 1") {
			t.Errorf("%v", r)
		}
	})
}

// TestKeyRotation rotates a key of a program that never stops working, on a
// server that never stops.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	pool := s.developer().newPool(t, "rotation")
	credentials := filepath.Join(s.data, "credentials")
	ask := func(k key) (answer, error) {
		r, err := s.as(k).request(syncService, "GET", "/identitypools/"+url.PathEscape(pool), nil)
		if err != nil {
			return answer{}, err
		}
		return s.as(k).send(r)
	}
	good := func(k key) error {
		a, err := ask(k)
		if err != nil || a.status != http.StatusOK {
			return errorOf("with the key "+k.id, a, err)
		}
		return nil
	}
	unknown := func(k key) error {
		a, err := ask(k)
		if err != nil || a.status != http.StatusForbidden || !strings.HasPrefix(a.header.Get("X-Amzn-Errortype"), "UnrecognizedClientException") {
			return errorOf("with the key "+k.id, a, err)
		}
		return nil
	}
	_, current := s.newKey(credentials, "create", "--name", "program")
	var mu sync.Mutex
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				t.Logf("the program asked %d times", n)
				stopped <- nil
				return
			default:
			}
			mu.Lock()
			k := current
			mu.Unlock()
			if err := good(k); err != nil {
				stopped <- err
				return
			}
			n++
		}
	}()
	for range 2 {
		old := current
		const keep = 4 * time.Second
		began := time.Now()
		_, next := s.newKey(credentials, "rotate", "--keep", keep.String(), old.id)
		mu.Lock()
		current = next // what a person does in the time that both are good
		mu.Unlock()
		if err := good(old); err != nil && time.Since(began) < keep {
			t.Errorf("%v after the rotation: %v", time.Since(began), err)
		}
		eventually(t, time.Minute, func() error { return unknown(old) })
		if took := time.Since(began); took < keep {
			t.Errorf("the old key was good for %v, want %v", took, keep)
		}
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	_, next := s.newKey(credentials, "rotate", "--keep", "0", current.id)
	eventually(t, time.Minute, func() error { return unknown(current) })
	if err := good(next); err != nil {
		t.Error(err)
	}
	s.kill()
	s.start()
	if err := good(next); err != nil {
		t.Error(err)
	}
	if err := unknown(current); err != nil {
		t.Error(err)
	}
}

// TestKeySecrets: the secret of a key is shown once, and is then in no list, no
// log, no file and no backup.
func TestKeySecrets(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--log-level", "debug")
	x := &secretive{T: t, s: s, dev: s.developer(), secrets: map[string]string{}}
	credentials := filepath.Join(s.data, "credentials")
	_, made := s.newKey(credentials, "create", "--name", "made")
	_, rotated := s.newKey(credentials, "rotate", "--keep", "1h", made.id)
	_, again := s.newKey(credentials, "rotate", "--keep", "0", rotated.id)
	for _, k := range []key{made, rotated, again} {
		x.keep("secret of a key", k.secret)
		x.keep("secret of a key in base64", base64.StdEncoding.EncodeToString([]byte(k.secret)))
	}
	s.as(again).newPool(t, "by the key")
	for _, args := range [][]string{{"list"}, {"list", "--json"}, {"disable", again.id}, {"enable", again.id}, {"disable", "--json", made.id}, {"delete", made.id}} {
		r := s.accessKey(credentials, args...)
		if r.code != 0 {
			t.Fatalf("%v: %v", args, r)
		}
		x.check(strings.Join(args, " "), r.stdout+r.stderr)
	}
	a := x.dev.do(t, "tributary", "GET", "/_tributary/v1/access-keys?maxResults=1000", nil)
	var page struct{ AccessKeys []map[string]json.RawMessage }
	decode(t, a.body, &page)
	x.check("the list", string(a.body))
	if len(page.AccessKeys) != 3 {
		t.Errorf("%s", a.body)
	}
	for _, k := range page.AccessKeys {
		for name := range k {
			if !slices.Contains([]string{"AccessKeyId", "Name", "Policy", "Disabled", "Created", "Until"}, name) {
				t.Errorf("a list shows %s", name)
			}
		}
	}
	r := s.run("audit", "--server", s.url, "--credentials", credentials, "--json")
	x.check("the audit log", r.stdout)
	for _, want := range []string{"tributary:CreateAccessKey", "tributary:RotateAccessKey", "tributary:UpdateAccessKey", "tributary:DeleteAccessKey"} {
		if user := fmt.Sprintf(`"resource":"arn:aws:iam::%s:user/`, account); !strings.Contains(r.stdout, `"action":"`+want+`",`+user) {
			t.Errorf("the audit log lacks %s: %v", want, r)
		}
	}
	x.check("the store", s.dump(credentials))
	x.checkMetrics()
	s.stop()
	x.check("the greeting", s.stdout.String())
	x.check("the log", s.stderr.String())
	if !onPostgres() {
		x.checkFiles()
	}
}

// dump is all that the store holds, as a backup or the database's own tool has
// it.
func (s *server) dump(credentials string) string {
	s.t.Helper()
	if onPostgres() {
		at := slices.IndexFunc(s.env, func(v string) bool { return strings.HasPrefix(v, "TRIBUTARY_STORE=") })
		text, err := shared.server.run("pg_dump", strings.TrimPrefix(s.env[at], "TRIBUTARY_STORE="))
		if err != nil || !strings.Contains(text, "access_keys") {
			s.t.Fatalf("%v in %s", err, clip(text))
		}
		return text
	}
	backup := filepath.Join(s.t.TempDir(), "store.tar")
	if r := s.run("backup", "--server", s.url, "--credentials", credentials, backup); r.code != 0 {
		s.t.Fatal(r)
	}
	text, err := os.ReadFile(backup)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}
