package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tributary"
	"tributary/awswire"
	"tributary/front/api"
)

// oneLine wants a text to have a line.
func oneLine(t *testing.T, text, want string) {
	t.Helper()
	if !strings.Contains(text, want+"\n") {
		t.Errorf("%s\nlacks %s", text, want)
	}
}

// greeting is what a start on a folder says of its credentials.
func greeting(t *testing.T, data string) (line string, try bool) {
	t.Helper()
	s, err := dataServer(t, data)
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	s.greet(&said)
	if err := s.close(); err != nil {
		t.Error(err)
	}
	for l := range strings.Lines(said.String()) {
		if strings.HasPrefix(l, "  credentials  ") {
			line = l
		}
	}
	return line, strings.Contains(said.String(), "AWS_SHARED_CREDENTIALS_FILE")
}

// TestKeyFiles writes keys to files: new ones, and that of the server in the
// place of the old key.
func TestKeyFiles(t *testing.T) {
	data := t.TempDir()
	old := keys(t, data)[0]
	credentials := filepath.Join(data, credentialsName)
	k := keyTool{t, []string{"--offline", "--data", data}}
	out := filepath.Join(t.TempDir(), "key")

	stdout, stderr := k.must("create", "--name", "ci", "--out", out)
	made, err := readCredentials(out)
	if info, statErr := os.Stat(out); err != nil || statErr != nil || info.Mode().Perm() != 0o600 || stdout != "" || stderr != "the access key "+made.AccessKeyID+" has no policy: it may do everything\nthe access key "+made.AccessKeyID+" is in "+out+"\n" {
		t.Errorf("%s%s, %v, %v", stdout, stderr, err, statErr)
	}
	before := len(keys(t, data))
	k.fails(1, "--out "+out+" is there already: move it away", "create", "--out", out)
	k.fails(1, "--out "+out+" is there already, and has not the access key "+old, "rotate", "--out", out, old)
	k.fails(1, "there is no folder /nowhere", "create", "--out", "/nowhere/key")
	k.fails(1, "is there already", "create", "--out", data)
	k.fails(1, "is there already, and cannot be used: ", "rotate", "--out", file(t, ""), old)
	if after := len(keys(t, data)); after != before {
		t.Errorf("refused commands made %d keys", after-before)
	}

	// A key whose file cannot be written is printed, for nobody would know it. The
	// name leaves no room for that of a file beside it.
	code, stdout, stderr := tool(t, nil, append([]string{"access-key", "create", "--out", filepath.Join(t.TempDir(), strings.Repeat("x", 250))}, k.on...)...)
	if code != 1 || !strings.Contains(stdout, "aws_secret_access_key") || !strings.Contains(stderr, "file name too long") {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}

	// Another profile, and what else is in the file, stays.
	text, err := os.ReadFile(credentials)
	if err != nil {
		t.Fatal(err)
	}
	const more = "# mine\n[other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = x\n"
	if err := errors.Join(os.WriteFile(credentials, append(text, more...), 0o600), os.Chmod(credentials, 0o644)); err != nil {
		t.Fatal(err)
	}
	stdout, stderr = k.must("rotate", "--json", "--out", credentials, old)
	oneLine(t, stderr, credentials+" had mode 0644, now its mode is 0600 and its owner "+strconv.Itoa(os.Geteuid()))
	var shown api.NewAccessKey
	now, err := readCredentials(credentials)
	if err != nil || json.Unmarshal([]byte(stdout), &shown) != nil || shown.AccessKeyID != now.AccessKeyID || shown.SecretAccessKey != "" || now.AccessKeyID == old || strings.Contains(stderr, "still") {
		t.Errorf("%s%s, %v", stdout, stderr, err)
	}
	want := strings.NewReplacer(old, now.AccessKeyID, secretOf(string(text)), now.SecretKey).Replace(string(text)) + more
	got, err := os.ReadFile(credentials)
	if info, statErr := os.Stat(credentials); err != nil || string(got) != want || statErr != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s, %v, %v\nwant %s", got, err, statErr, want)
	}
	tryKey(t, data)

	if line, try := greeting(t, data); line != "  credentials  "+credentials+"\n" || !try {
		t.Errorf("%s %t", line, try)
	}
}

func secretOf(credentials string) string {
	_, rest, _ := strings.Cut(credentials, "aws_secret_access_key = ")
	secret, _, _ := strings.Cut(rest, "\n")
	return secret
}

// TestStaleKeyFile: who rotates the key of the credentials file is told that the
// file has the old one, and a start does not show that as good.
func TestStaleKeyFile(t *testing.T) {
	data := t.TempDir()
	old := keys(t, data)[0]
	credentials := filepath.Join(data, credentialsName)
	k := keyTool{t, []string{"--offline", "--data", data}}
	out := filepath.Join(t.TempDir(), "key")
	_, stderr := k.must("rotate", "--keep", "1h", "--out", out, old)
	oneLine(t, stderr, credentials+" still has the old key: put the new one of "+out+" there; next time, --out "+credentials+" alone does it")
	if line, try := greeting(t, data); !strings.HasPrefix(line, "  credentials  "+credentials+" (its key "+old+" was rotated and is good until 20") || !try {
		t.Errorf("%s %t", line, try)
	}
	made, err := readCredentials(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(out, credentials); err != nil { // what it says
		t.Fatal(err)
	}
	stdout, stderr := k.must("rotate", "--keep", "0", made.AccessKeyID)
	oneLine(t, stderr, credentials+" still has the old key: put the new one there; next time, --out "+credentials+" alone does it")
	line, try := greeting(t, data)
	bad := func(why string) string {
		return "  credentials  " + credentials + " (its key " + made.AccessKeyID + " " + why + `: put a good key there, or move the file away and make one with "tributary access-key create --offline --data ` + data + " --out " + credentials + `" while the server is stopped)` + "\n"
	}
	if line != bad("is disabled") || try {
		t.Errorf("%s %t", line, try)
	}
	k.must("delete", made.AccessKeyID)
	if line, try = greeting(t, data); line != bad("is not in the store") || try {
		t.Errorf("%s %t", line, try)
	}
	if err := os.WriteFile(credentials, []byte(stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	if line, try = greeting(t, data); line != "  credentials  "+credentials+"\n" || !try {
		t.Errorf("%s %t", line, try)
	}
	wrong := strings.Replace(stdout, "aws_secret_access_key = ", "aws_secret_access_key = x", 1)
	if err := os.WriteFile(credentials, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	if line, try = greeting(t, data); !strings.Contains(line, " has another secret in the store: put a good key there") || try {
		t.Errorf("%s %t", line, try)
	}
	if err := os.WriteFile(credentials, []byte(stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := expired(t, data, credentials); !strings.Contains(out, " expired at 1970-01-01T00:00:00Z: put a good key there") {
		t.Errorf("%s", out)
	}
	if err := os.WriteFile(credentials, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if line, try = greeting(t, data); !strings.Contains(line, "has no key in its profile [default]: put a good key there") || try {
		t.Errorf("%s %t", line, try)
	}
}

// expired lets the key of the credentials file expire, and gives the greeting.
func expired(t *testing.T, data, credentials string) string {
	t.Helper()
	in, err := readCredentials(credentials)
	if err != nil {
		t.Fatal(err)
	}
	s, err := dataServer(t, data)
	if err != nil {
		t.Fatal(err)
	}
	k, err := s.store.AccessKey(t.Context(), in.AccessKeyID)
	if err != nil {
		t.Fatal(err)
	}
	k.Until = 1
	if err := errors.Join(s.store.PutAccessKey(t.Context(), k), s.close()); err != nil {
		t.Fatal(err)
	}
	line, try := greeting(t, data)
	if try {
		t.Error("an expired key is shown as good")
	}
	return line
}

// TestOfflineAccount: without the server, its account must be said where it is
// not the usual one.
func TestOfflineAccount(t *testing.T) {
	data := t.TempDir()
	keys(t, data)
	k := keyTool{t, []string{"--offline", "--data", data}}
	policy := file(t, `{"Statement": {"Effect": "Deny", "Action": "*", "Resource": "arn:aws:iam::123456789012:user/*"}}`)
	k.fails(1, `its account is "123456789012", it must be this server's, 000000000000 (serve --account), or *`, "create", "--policy", policy)
	k.must("create", "--policy", policy, "--account", "123456789012")
}

// TestAccessKeyThroughServer: a data folder in the environment is where the key
// is, not what is worked on.
func TestAccessKeyThroughServer(t *testing.T) {
	s := startServer(t, func(c *serveCmd) { c.Warehouse = "none" })
	env := map[string]string{"TRIBUTARY_DATA": s.cfg.Data, "TRIBUTARY_SERVER": s.url(), "TRIBUTARY_STORE": "postgres://nobody@127.0.0.1:1/x"}
	credentials := filepath.Join(s.cfg.Data, credentialsName)
	own, err := readCredentials(credentials)
	if err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := tool(t, env, "access-key", "list"); code != 0 || !strings.Contains(stdout, own.AccessKeyID) {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
	if code, stdout, stderr := tool(t, env, "access-key", "rotate", "--keep", "1h", own.AccessKeyID); code != 0 || !strings.Contains(stderr, credentials+" still has the old key") || !strings.Contains(stdout, "aws_secret_access_key") {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
	if code, _, stderr := tool(t, env, "access-key", "list"); code != 0 || stderr != "" {
		t.Errorf("%d %s", code, stderr)
	}
	code, stdout, stderr := tool(t, nil, "access-key", "list", "--data", s.cfg.Data, "--server", s.url(), "--store", env["TRIBUTARY_STORE"], "--master-key-file", "k")
	goes := " counts with --offline only: this goes through the server " + s.url() + "\n"
	if code != 0 || !strings.Contains(stdout, own.AccessKeyID) || stderr != "--store"+goes+"--master-key-file"+goes {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
	for _, args := range [][]string{{"list", "--offline"}, {"create", "--offline"}} {
		if code, stdout, stderr := tool(t, env, append([]string{"access-key"}, args...)...); code != 1 || stdout != "" || !strings.Contains(stderr, "postgres://nobody@127.0.0.1:1/x does not answer") {
			t.Errorf("%v: %d %s%s", args, code, stdout, stderr)
		}
	}
}

// TestKeyFileWithoutSecret: a file whose [default] has the old key's id alone is
// left as it is, and so is the key.
func TestKeyFileWithoutSecret(t *testing.T) {
	data := t.TempDir()
	old := keys(t, data)[0]
	k := keyTool{t, []string{"--offline", "--data", data}}
	text := "[default]\naws_access_key_id = " + old + "\n[other]\naws_secret_access_key = x\n"
	out := file(t, text)
	k.fails(1, "--out "+out+" is there already, and cannot be used: "+out+" has no key in its profile [default]", "rotate", "--out", out, old)
	if now, err := os.ReadFile(out); err != nil || string(now) != text {
		t.Errorf("%s, %v", now, err)
	}
	if all := keys(t, data); len(all) != 1 {
		t.Errorf("keys %v", all)
	}
}

// TestKeyFileReplaces: only the two values of [default] change, though the same
// texts are elsewhere.
func TestKeyFileReplaces(t *testing.T) {
	const text = "# AKIAOLD has secret\n[other]\naws_access_key_id = AKIAOLD\naws_secret_access_key = secret\n\n" +
		"[ default ]\r\n  aws_access_key_id=AKIAOLD \r\nregion = secret\naws_secret_access_key   =  secret\n[AKIAOLD]\naws_secret_access_key = secret"
	f, err := openKeyFile(file(t, text), "AKIAOLD")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer("  aws_access_key_id=AKIAOLD \r", "  aws_access_key_id=AKIANEW \r", "  =  secret\n", "  =  other\n").Replace(text)
	if err := f.write(awswire.Credentials{AccessKeyID: "AKIANEW", SecretKey: "other"}, ""); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(f.path); err != nil || string(got) != want {
		t.Errorf("%q, %v\nwant %q", got, err, want)
	}
}

// TestKeyFileComes: a file that another writes while the key is made stays, and
// the key is printed.
func TestKeyFileComes(t *testing.T) {
	data, out := t.TempDir(), filepath.Join(t.TempDir(), "key")
	keys(t, data)
	f := &newKeyFlags{keyFlags: keyFlags{Offline: true, Data: data, Account: "000000000000", Region: "us-east-1"}, Out: out}
	var stdout, stderr bytes.Buffer
	err := f.create(&env{ctx: t.Context(), stdout: &stdout, stderr: &stderr}, "", func(a api.AccessKeys) (tributary.AccessKey, string, error) {
		if err := os.WriteFile(out, []byte("precious"), 0o600); err != nil {
			t.Error(err)
		}
		return a.Create(t.Context(), "x", "")
	})
	text, readErr := os.ReadFile(out)
	if !errors.Is(err, os.ErrExist) || !strings.Contains(stdout.String(), "aws_secret_access_key") || readErr != nil || string(text) != "precious" {
		t.Errorf("%v, %s; the file has %q, %v", err, stdout.String(), text, readErr)
	}
	if left, err := filepath.Glob(out + "*"); err != nil || len(left) != 1 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// TestKeyFileLink: a symbolic link goes on to name the file, which has the new
// key; who else could read it is told.
func TestKeyFileLink(t *testing.T) {
	data := t.TempDir()
	old := keys(t, data)[0]
	credentials, target := filepath.Join(data, credentialsName), filepath.Join(t.TempDir(), "target")
	if err := errors.Join(os.Rename(credentials, target), os.Symlink(target, credentials)); err != nil {
		t.Fatal(err)
	}
	owner := os.Geteuid()
	want := "the access key "
	if owner == 0 { // who else may give a file away
		owner = 12345
		want = target + " had the owner 12345, now its mode is 0600 and its owner 0\n"
	}
	if err := os.Chown(target, owner, -1); err != nil {
		t.Fatal(err)
	}
	k := keyTool{t, []string{"--offline", "--data", data}}
	_, stderr := k.must("rotate", "--keep", "0", "--out", credentials, old)
	info, err := os.Lstat(credentials)
	if err != nil || info.Mode()&os.ModeSymlink == 0 || !strings.Contains(stderr, want) || strings.Contains(stderr, "still") {
		t.Errorf("%v, %v: %s", info, err, stderr)
	}
	if info, err := os.Lstat(target); err != nil || !info.Mode().IsRegular() {
		t.Errorf("%v, %v", info, err)
	}
	tryKey(t, data)
	dangling := filepath.Join(data, "dangling")
	if err := os.Symlink(filepath.Join(data, "nowhere"), dangling); err != nil {
		t.Fatal(err)
	}
	k.fails(1, "--out "+dangling+" is there already", "create", "--out", dangling)
}

// TestGreetingOfSealedKey: the file's key counts for nothing once another master
// key is used.
func TestGreetingOfSealedKey(t *testing.T) {
	data := t.TempDir()
	old := keys(t, data)[0]
	if err := os.WriteFile(filepath.Join(data, "master.key"), []byte(strings.Repeat("5a", tributary.MasterKeyLength)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	keyTool{t, []string{"--offline", "--data", data}}.must("create", "--new-master-key", "--out", filepath.Join(t.TempDir(), "key"))
	if line, try := greeting(t, data); !strings.Contains(line, "(its key "+old+" was sealed with another master key: put a good key there") || try {
		t.Errorf("%s %t", line, try)
	}
}
