package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
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

// usualSettings are those of a server that listens on a free port.
func usualSettings(data string) serveCmd {
	return serveCmd{Listen: "127.0.0.1:0", Data: data, Region: "us-east-1", Account: "000000000000", Shards: 2, MinFree: "0",
		Warehouse: "duckdb", WarehouseMemory: 256 << 20, StreamInlineLimit: 50 << 10, Cache: 64 << 20, MemTable: 64 << 20, HeadCache: 32 << 20,
		MemoryLimit: 1 << 30, Drain: time.Second}
}

// startServer runs a server in this process until the test ends.
func startServer(t *testing.T, edit func(*serveCmd)) *server {
	t.Helper()
	c := usualSettings(t.TempDir())
	if edit != nil {
		edit(&c)
	}
	s, err := newServer(t.Context(), &c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	runServer(t, s)
	return s
}

// runServer runs a server that is open until the test ends.
func runServer(t *testing.T, s *server) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
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
		{"Account", []string{"serve", "--account", "12"}, 2, "12 digits"},
		{"Shards", []string{"serve", "--shards", "0"}, 2, "--shards is 0"},
		{"MinFree", []string{"serve", "--min-free", "200%"}, 2, "between 0% and 100%"},
		{"MinFreeNaN", []string{"serve", "--min-free", "nan%"}, 2, "between 0% and 100%"},
		{"MinFreeSize", []string{"serve", "--min-free", "some"}, 2, "is no size"},
		{"Drain", []string{"serve", "--drain=-1s"}, 2, "must not be negative"},
		{"InlineLimit", []string{"serve", "--stream-inline-limit", "11MiB"}, 2, "between 1KiB and 10MiB"},
		{"MemoryLimit", []string{"serve", "--memory-limit", "0"}, 2, "--memory-limit is 0, it must be at least 64MiB"},
		{"HeadCache", []string{"serve", "--head-cache", "129MiB"}, 2, "between 1MiB and 128MiB (half of --memory-limit"},
		{"Cache", []string{"serve", "--cache", "0"}, 2, "--cache is 0, it must be at least 1MiB"},
		{"MemTable", []string{"serve", "--mem-table", "4GiB"}, 2, "--mem-table is 4GiB"},
		{"WarehouseMemory", []string{"serve", "--warehouse-memory", "63MiB"}, 2, "at least 64MiB"},
		{"URLScheme", []string{"serve", "--public-url", "example.org:80"}, 2, "http or https"},
		{"URLHost", []string{"serve", "--public-url", "http://:80"}, 2, "a host"},
		{"URLPath", []string{"serve", "--public-url", "https://example.org/sync"}, 2, "no path"},
		{"URLQuery", []string{"serve", "--public-url", "https://example.org/?a=b"}, 2, "no path"},
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

// TestUsualSettings: what must not be refused.
func TestUsualSettings(t *testing.T) {
	c := usualSettings("data")
	c.MinFree, c.PublicURL = "5%", "https://example.org:8443/"
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
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
	write("drain = -7s\n")
	if _, _, stderr := tool(t, map[string]string{"TRIBUTARY_CONFIG": file}, "serve"); !strings.Contains(stderr, "-7s") {
		t.Errorf("a file named by the environment: %s", stderr)
	}
	if _, _, stderr := tool(t, map[string]string{"TRIBUTARY_CONFIG": "/nowhere"}, "serve"); !strings.Contains(stderr, "/nowhere") {
		t.Errorf("a file named by the environment that is not there: %s", stderr)
	}
	if _, _, stderr := tool(t, map[string]string{"TRIBUTARY_CONFIG": "/nowhere"}, args...); !strings.Contains(stderr, "-7s") {
		t.Errorf("a file named by a flag and another by the environment: %s", stderr)
	}
	write("config = another\n")
	if code, _, stderr := tool(t, nil, args...); code != 2 || !strings.Contains(stderr, "cannot name another") {
		t.Errorf("a file that names a file: %d %s", code, stderr)
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

// TestCutResult: a result that is not whole says by which limit, and is a
// failure for whatever reads it.
func TestCutResult(t *testing.T) {
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"Columns":["a"],"Types":["BIGINT"],"Rows":[[1],[2]],"Cut":true}`)
	}))
	defer h.Close()
	for _, c := range []struct {
		format, rows string
		code         int
		stdout, says string
	}{
		{"table", "2", 0, "a\n1\n2\n", "only the first 2 rows are shown; see --max-rows"},
		{"table", "3", 0, "a\n1\n2\n", "larger than 32MiB"},
		{"csv", "2", 1, "a\n1\n2\n", "see --max-rows"},
		{"csv", "3", 1, "a\n1\n2\n", "larger than 32MiB"},
		{"json", "3", 1, "[\n\t{\n\t\t\"a\": 1\n\t},\n\t{\n\t\t\"a\": 2\n\t}\n]\n", "larger than 32MiB"},
	} {
		code, stdout, stderr := tool(t, nil, "query", "--server", h.URL, "--credentials", credentialsFile(t), "--format", c.format, "--max-rows", c.rows, "SELECT a")
		if code != c.code || stdout != c.stdout || !strings.Contains(stderr, c.says) {
			t.Errorf("%s, at most %s rows: exit code %d, %q\n%s", c.format, c.rows, code, stdout, stderr)
		}
	}
}

// TestWhichKey: what is said for tributary beats what is said for AWS's clients.
func TestWhichKey(t *testing.T) {
	file := credentialsFile(t)
	env := map[string]string{"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SHARED_CREDENTIALS_FILE": file}
	for _, c := range []struct {
		name  string
		flags serverFlags
		drop  []string
		want  string
	}{
		{"Data", serverFlags{Data: filepath.Dir(file)}, nil, "AKIA"},
		{"Credentials", serverFlags{Credentials: file, Data: "/nowhere"}, nil, "AKIA"},
		{"Environment", serverFlags{}, nil, "AKIAENV"},
		{"SharedFile", serverFlags{}, []string{"AWS_ACCESS_KEY_ID"}, "AKIA"},
	} {
		key, err := c.flags.key(func(name string) (string, bool) {
			if slices.Contains(c.drop, name) {
				return "", false
			}
			v, ok := env[name]
			return v, ok
		})
		if err != nil || key.AccessKeyID != c.want {
			t.Errorf("%s: %q, %v", c.name, key.AccessKeyID, err)
		}
	}
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
