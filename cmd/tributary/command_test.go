package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// tool runs the command line in this process.
func tool(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, func(name string) (string, bool) { v, ok := env[name]; return v, ok }, &out, &errs)
	return code, out.String(), errs.String()
}

// startServer runs a server in this process until the test ends.
func startServer(t *testing.T, edit func(*serveCmd)) *server {
	t.Helper()
	c := serveCmd{Listen: "127.0.0.1:0", Data: t.TempDir(), Region: "us-east-1", Account: "000000000000", Shards: 2, MinFree: "0",
		Warehouse: "duckdb", WarehouseMemory: 256 << 20, StreamInlineLimit: 50 << 10, MemoryLimit: 1 << 30, Drain: time.Second}
	if edit != nil {
		edit(&c)
	}
	s, err := newServer(t.Context(), &c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return s
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"Version", []string{"version"}, 0, "tributary " + version},
		{"Help", []string{"--help"}, 0, "serve"},
		{"Unknown", []string{"serve", "--nothing"}, 2, "unknown flag --nothing"},
		{"NoCommand", nil, 2, "expected one of"},
		{"Size", []string{"serve", "--cache", "12MB"}, 2, "is no size"},
		{"Account", []string{"serve", "--account", "12", "--data", t.TempDir()}, 1, "12 digits"},
		{"NoServer", []string{"query", "--server", "http://127.0.0.1:1", "--credentials", credentialsFile(t), "SELECT 1"}, 1, "is the server running?"},
		{"NoKey", []string{"query", "--data", t.TempDir(), "SELECT 1"}, 1, "no developer key in"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := tool(t, nil, c.args...)
			if code != c.code || !strings.Contains(stdout+stderr, c.says) {
				t.Errorf("exit code %d\n%s%s\nwant %d and %q", code, stdout, stderr, c.code, c.says)
			}
		})
	}
}

func credentialsFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(path, []byte("[other]\naws_access_key_id = x\n[default]\naws_access_key_id = AKIA\naws_secret_access_key = s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSettings: a flag beats the environment, which beats the file.
func TestSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "settings")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// What is wrong with the account tells which one was taken.
	args := []string{"--config", file, "serve", "--data", t.TempDir()}
	write("# a comment\n\naccount = file\n")
	if _, _, stderr := tool(t, nil, args...); !strings.Contains(stderr, `"file"`) {
		t.Errorf("file: %s", stderr)
	}
	env := map[string]string{"TRIBUTARY_ACCOUNT": "environment"}
	if _, _, stderr := tool(t, env, args...); !strings.Contains(stderr, `"environment"`) {
		t.Errorf("environment: %s", stderr)
	}
	if _, _, stderr := tool(t, env, append(args, "--account", "flag")...); !strings.Contains(stderr, `"flag"`) {
		t.Errorf("flag: %s", stderr)
	}
	write("acount = 1\n")
	if code, _, stderr := tool(t, nil, args...); code != 2 || !strings.Contains(stderr, `"acount"`) {
		t.Errorf("an unknown name: %d %s", code, stderr)
	}
	write("account 1\n")
	if code, _, stderr := tool(t, nil, args...); code != 2 || !strings.Contains(stderr, "line 1") {
		t.Errorf("a broken line: %d %s", code, stderr)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "17": 17, "3KiB": 3 << 10, "512MiB": 512 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40} {
		var b byteSize
		if err := b.UnmarshalText([]byte(text)); err != nil || int64(b) != want {
			t.Errorf("%s is read as %d, %v", text, b, err)
		}
	}
	for _, text := range []string{"", "-1", "1MB", "MiB", "1.5GiB", "9999999999TiB"} {
		var b byteSize
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %d", text, b)
		}
	}
}

func TestMasterKey(t *testing.T) {
	dir := t.TempDir()
	first, err := masterKey("", dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := masterKey("", dir)
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("read again as %x, %v, want %x", again, err, first)
	}
	info, err := os.Stat(filepath.Join(dir, "master.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := masterKey(filepath.Join(dir, "none"), dir); err == nil {
		t.Error("a named key that is not there was made")
	}
	if err := os.WriteFile(filepath.Join(dir, "bad"), []byte("00ff"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := masterKey(filepath.Join(dir, "bad"), dir); err == nil || !strings.Contains(err.Error(), "32 bytes") {
		t.Errorf("a short key: %v", err)
	}
}

// TestPoolCommands drives the own API from the command line.
func TestPoolCommands(t *testing.T) {
	s := startServer(t, func(c *serveCmd) { c.Warehouse = "none" })
	on := []string{"--server", s.url(), "--data", s.cfg.Data}
	const id, user = "eu-west-1:11111111-2222-4333-8444-555555555555", "eu-west-1:66666666-7777-4888-8999-aaaaaaaaaaaa"
	must := func(want string, args ...string) {
		t.Helper()
		if code, stdout, stderr := tool(t, nil, append(args, on...)...); code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("%v: %d %s%s", args, code, stdout, stderr)
		}
	}
	fails := func(want string, args ...string) {
		t.Helper()
		if code, _, stderr := tool(t, nil, append(args, on...)...); code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%v: %d %s", args, code, stderr)
		}
	}
	must(id, "pool", "create", "--id", id, "--guests", "my app")
	fails("ResourceConflictException", "pool", "create", "--id", id, "my app")
	must("datasets       50", "pool", "set", id, "--datasets", "50", "--dataset-bytes", "4MiB")
	must("dataset bytes  4194304", "pool", "set", id, "--no-guests")
	must("guests         false", "pool", "show", id)
	must("datasets       20", "pool", "set", id, "--datasets", "0")
	must(user, "pool", "identity", id, user)
	fails("exists already", "pool", "identity", id, user)
	fails("ResourceNotFoundException", "pool", "show", "eu-west-1:0")
	fails("InvalidParameterException", "pool", "set", id, "--records=-1")
	fails("--warehouse none", "query", "SELECT 1")
}

func TestPrintTable(t *testing.T) {
	rows := &table{Columns: []string{"a", "b"}, Rows: [][]jsontext.Value{{jsontext.Value(`"x\u0007,y"`), jsontext.Value("9007199254740993")}, {jsontext.Value("null"), jsontext.Value("true")}}}
	for format, want := range map[string]string{
		"table": "a     b\nx\uFFFD,y  9007199254740993\nNULL  true\n",
		"csv":   "a,b\n\"x\a,y\",9007199254740993\n,true\n",
	} {
		var out bytes.Buffer
		if err := printTable(&out, rows, format); err != nil || out.String() != want {
			t.Errorf("%s: %q, %v, want %q", format, out.String(), err, want)
		}
	}
	var out bytes.Buffer
	if err := printTable(&out, rows, "json"); err != nil {
		t.Fatal(err)
	}
	var back []map[string]any
	d := json.NewDecoder(&out)
	d.UseNumber()
	if err := d.Decode(&back); err != nil || len(back) != 2 || back[0]["b"] != json.Number("9007199254740993") || back[1]["a"] != nil {
		t.Errorf("json: %v, %v", back, err)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Errorf("json: something follows: %v", err)
	}
}
