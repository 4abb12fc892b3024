package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	if info, statErr := os.Stat(out); err != nil || statErr != nil || info.Mode().Perm() != 0o600 || stdout != "" || stderr != "the access key "+made.AccessKeyID+" is in "+out+"\n" {
		t.Errorf("%s%s, %v, %v", stdout, stderr, err, statErr)
	}
	before := len(keys(t, data))
	k.fails(1, "--out "+out+" is there already: move it away", "create", "--out", out)
	k.fails(1, "--out "+out+" is there already, and has not the access key "+old, "rotate", "--out", out, old)
	k.fails(1, "there is no folder /nowhere", "create", "--out", "/nowhere/key")
	k.fails(1, "is there already", "create", "--out", data)
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
	if err := os.WriteFile(credentials, append(text, more...), 0o644); err != nil {
		t.Fatal(err)
	}
	stdout, stderr = k.must("rotate", "--json", "--out", credentials, old)
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
	oneLine(t, stderr, credentials+" still has the old key: mv "+out+" "+credentials)
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
	oneLine(t, stderr, credentials+" still has the old key: put the new one there; next time, --out "+credentials+" does it")
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
	for _, args := range [][]string{{"list", "--offline"}, {"create", "--offline"}} {
		if code, stdout, stderr := tool(t, env, append([]string{"access-key"}, args...)...); code != 1 || stdout != "" || !strings.Contains(stderr, "postgres://nobody@127.0.0.1:1/x does not answer") {
			t.Errorf("%v: %d %s%s", args, code, stdout, stderr)
		}
	}
}
