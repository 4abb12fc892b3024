package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/auth"
	"tributary/awswire"
	"tributary/front/api"
)

// keyTool runs access-key in this process.
type keyTool struct {
	*testing.T
	on []string // where
}

func (k keyTool) must(args ...string) (stdout, stderr string) {
	k.Helper()
	code, stdout, stderr := tool(k.T, nil, slices.Concat([]string{"access-key"}, args, k.on)...)
	if code != 0 {
		k.Fatalf("%v: %d %s", args, code, stderr)
	}
	return stdout, stderr
}

func (k keyTool) fails(code int, text string, args ...string) {
	k.Helper()
	have, stdout, stderr := tool(k.T, nil, slices.Concat([]string{"access-key"}, args, k.on)...)
	if have != code || stdout != "" || !strings.Contains(stderr, text) {
		k.Errorf("%v: %d %s%s, want %d %s", args, have, stdout, stderr, code, text)
	}
}

// file puts a text into a file of its own.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// created reads a key as it was printed.
func (k keyTool) created(stdout string) (path string, key awswire.Credentials) {
	k.Helper()
	path = file(k.T, stdout)
	key, err := readCredentials(path)
	if err != nil {
		k.Fatal(err)
	}
	return path, key
}

const (
	noPools   = `{"Statement": {"Effect": "Allow", "NotAction": "tributary:*Pool", "Resource": "*"}}`
	onlyPools = `{"Statement": {"Effect": "Allow", "Action": "tributary:*Pool", "Resource": "*"}}`
)

// TestAccessKeyCommands walks the commands through a running server.
func TestAccessKeyCommands(t *testing.T) {
	s := startServer(t, func(c *serveCmd) { c.Warehouse = "none" })
	first := filepath.Join(s.cfg.Data, credentialsName)
	admin := keyTool{t, []string{"--server", s.url(), "--credentials", first}}
	mayMakePools := func(credentials string, want bool) {
		t.Helper()
		code, _, stderr := tool(t, nil, "pool", "create", "--server", s.url(), "--credentials", credentials, "a pool")
		if (code == 0) != want || !want && !strings.Contains(stderr, "AccessDeniedException") {
			t.Errorf("%d %s", code, stderr)
		}
	}
	out, _ := admin.must("create", "--name", "ci of ann", "--policy", file(t, noPools))
	path, key := admin.created(out)
	mayMakePools(path, false)
	if out, _ = admin.must("list"); !regexp.MustCompile(`(?m)^access key +created +policy +state +name\nAKIA\w+ +20\S+Z +none +enabled +\n`+key.AccessKeyID+` +20\S+Z +yes +enabled +ci of ann\n$`).MatchString(out) || strings.Contains(out, key.SecretKey) {
		t.Errorf("%s", out)
	}
	var shown api.AccessKey
	if out, _ = admin.must("enable", "--json", key.AccessKeyID); json.Unmarshal([]byte(out), &shown) != nil || shown.Policy != noPools || shown.AccessKeyID != key.AccessKeyID {
		t.Errorf("%s", out)
	}
	admin.fails(1, "is enabled: disable it first", "delete", key.AccessKeyID)
	if out, _ = admin.must("policy", key.AccessKeyID); out != noPools+"\n" {
		t.Errorf("%s", out)
	}
	if out, _ = admin.must("policy", "--json", key.AccessKeyID); json.Unmarshal([]byte(out), &shown) != nil || shown.Policy != noPools {
		t.Errorf("%s", out)
	}
	admin.fails(1, "there is no access key AKIANOBODY", "policy", "AKIANOBODY")
	if out, _ = admin.must("disable", key.AccessKeyID); !strings.Contains(out, " yes     disabled  ci of ann\n") {
		t.Errorf("%s", out)
	}
	if _, stderr := admin.must("delete", key.AccessKeyID); stderr != "the access key "+key.AccessKeyID+" is deleted\n" {
		t.Errorf("%s", stderr)
	}
	admin.fails(1, "ResourceNotFoundException: The access key does not exist", "delete", key.AccessKeyID)

	old, err := readCredentials(first)
	if err != nil {
		t.Fatal(err)
	}
	out, stderr := admin.must("policy", old.AccessKeyID)
	if out != "" || stderr != "the access key "+old.AccessKeyID+" has no policy: it may do everything\n" {
		t.Errorf("%s%s", out, stderr)
	}
	out, stderr = admin.must("rotate", old.AccessKeyID)
	path, key = admin.created(out)
	if !strings.Contains(stderr, " is good for 24h more\n") {
		t.Errorf("%s", stderr)
	}
	if out, _ = admin.must("list"); !strings.Contains(out, "  until 20") {
		t.Errorf("%s", out)
	}
	mayMakePools(path, true)
	admin.on[3] = path
	admin.fails(1, "InvalidParameterException: The access key "+key.AccessKeyID+" is the last one", "policy", key.AccessKeyID, file(t, noPools))
	admin.fails(1, "is the last one", "disable", key.AccessKeyID)
	admin.fails(1, "The policy is not valid: it has no Statement", "create", "--policy", file(t, "{}"))
	admin.fails(1, "is empty, it must hold an IAM policy", "create", "--policy", file(t, ""))
	admin.fails(1, "no such file", "policy", key.AccessKeyID, "/nowhere")
	admin.fails(2, `--keep is "-1s", it must be whole seconds between 0 and 90d, like 90m, 24h or 7d`, "rotate", "--keep", "-1s", key.AccessKeyID)
	admin.fails(2, `--keep is "1.5s"`, "rotate", "--keep=1.5s", key.AccessKeyID)
	admin.fails(2, `--keep is "2161h"`, "rotate", "--keep=2161h", key.AccessKeyID)
	admin.fails(2, `--keep is "91d"`, "rotate", "--keep", "91d", key.AccessKeyID)

	out, _ = admin.must("create", "--policy", file(t, onlyPools))
	limited, other := admin.created(out)
	mayMakePools(limited, true)
	keyTool{t, []string{"--server", s.url(), "--credentials", limited}}.fails(1, "AccessDeniedException: User: arn:aws:iam::000000000000:user/"+other.AccessKeyID+" is not authorized to perform: tributary:ListAccessKeys on resource: *", "list")
	admin.must("policy", other.AccessKeyID, "none")
	if out, _ = admin.must("list", "--json"); strings.Count(out, "\n") != 3 || strings.Contains(out, "tributary:") || strings.Contains(out, key.SecretKey) || strings.Contains(out, other.SecretKey) {
		t.Errorf("%s", out)
	}
	var made api.NewAccessKey
	if out, stderr = admin.must("rotate", "--keep", "0", "--json", other.AccessKeyID); json.Unmarshal([]byte(out), &made) != nil || made.SecretAccessKey == "" || !strings.Contains(stderr, other.AccessKeyID+" is disabled") {
		t.Errorf("%s%s", out, stderr)
	}
}

// TestUnlimitedKey: who makes a key that may do everything is told so, and it is
// good for as many days as its rotation says.
func TestUnlimitedKey(t *testing.T) {
	s := startServer(t, func(c *serveCmd) { c.Warehouse = "none" })
	admin := keyTool{t, []string{"--server", s.url(), "--data", s.cfg.Data}}
	if _, stderr := admin.must("create", "--policy", file(t, onlyPools)); stderr != "" {
		t.Errorf("with a policy: %s", stderr)
	}
	out, stderr := admin.must("create")
	_, key := admin.created(out)
	if stderr != "the access key "+key.AccessKeyID+" has no policy: it may do everything\n" {
		t.Errorf("without a policy: %s", stderr)
	}
	if _, stderr = admin.must("rotate", "--keep", "7d", key.AccessKeyID); stderr != "the access key "+key.AccessKeyID+" is good for 7d more\n" {
		t.Errorf("%s", stderr)
	}
	var shown api.AccessKey
	if out, _ = admin.must("enable", "--json", key.AccessKeyID); json.Unmarshal([]byte(out), &shown) != nil || time.Until(shown.Until) > 7*day || time.Until(shown.Until) < 7*day-time.Hour {
		t.Errorf("%s", out)
	}
}

// TestAccessKeyPages: a list has all keys of a server that has many.
func TestAccessKeyPages(t *testing.T) {
	s := startServer(t, func(c *serveCmd) { c.Warehouse = "none" })
	d := &auth.Developers{Auth: s.auth}
	const many = 230
	for range many {
		if _, _, err := d.Create(t.Context(), "one of many", noPools); err != nil {
			t.Fatal(err)
		}
	}
	out, _ := keyTool{t, []string{"--server", s.url(), "--credentials", filepath.Join(s.cfg.Data, credentialsName)}}.must("list", "--json")
	if n := strings.Count(out, `"Name":"one of many"`); n != many {
		t.Errorf("the list has %d keys, want %d", n, many)
	}
}

// TestAccessKeyInStore works on the store of a stopped server, where the last
// key can be disabled, and the way back in is another.
func TestAccessKeyInStore(t *testing.T) {
	data := t.TempDir()
	ids := keys(t, data)
	k := keyTool{t, []string{"--offline", "--data", data}}
	if out, _ := k.must("disable", ids[0]); !strings.Contains(out, "disabled") {
		t.Errorf("%s", out)
	}
	k.fails(1, "The access key does not exist", "enable", "AKIANOBODY")
	k.fails(1, "is the only one: create another one first", "delete", ids[0])
	out, _ := k.must("create", "--name", "back in")
	path, key := k.created(out)
	k.must("delete", ids[0])
	if out, _ = k.must("list"); !strings.Contains(out, key.AccessKeyID) || strings.Contains(out, ids[0]) || !strings.Contains(out, "back in") {
		t.Errorf("%s", out)
	}
	s := startServer(t, func(c *serveCmd) { c.Warehouse, c.Data = "none", data })
	if code, _, stderr := tool(t, nil, "pool", "create", "--server", s.url(), "--credentials", path, "a pool"); code != 0 {
		t.Error(stderr)
	}
	k.fails(1, "stop it first, or go through it, without --offline", "list")
}
