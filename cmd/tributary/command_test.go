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
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// tool runs the command line in this process.
func tool(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	var environ []string
	for name, value := range env {
		environ = append(environ, name+"="+value)
	}
	code = run(t.Context(), args, environ, &out, &errs)
	return code, out.String(), errs.String()
}

// usualSettings are those of a server that listens on a free port.
func usualSettings(data string) serveCmd {
	return serveCmd{Listen: "127.0.0.1:0", Data: data, Region: "us-east-1", Account: "000000000000", Shards: new(2), MinFree: "0",
		Warehouse: "duckdb", WarehouseMemory: 256 << 20, StreamInlineLimit: 50 << 10, Cache: 64 << 20, MemTable: 64 << 20, HeadCache: 32 << 20,
		MemoryLimit: 1 << 30, Drain: time.Second, kinesisFlags: kinesisFlags{BacklogLimit: time.Hour}}
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

// runServer runs a server that is open until the test ends, or stop is called.
func runServer(t *testing.T, s *server) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	ended := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	t.Cleanup(ended)
	return ended
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
		{"VersionFlag", []string{"--version"}, 0, "tributary " + version},
		{"HelpCommand", []string{"help"}, 0, "access-key create"},
		{"HelpOfCommand", []string{"help", "query"}, 0, "--max-rows"},
		{"HelpOfNothing", []string{"help", "nothing"}, 2, "unexpected argument nothing"},
		{"HelpNames", []string{"serve", "--help"}, 0, "on ($TRIBUTARY_LISTEN,"},
		{"HelpFallback", []string{"query", "--help"}, 0, "$AWS_ENDPOINT_URL"},
		{"NoCommand", nil, 2, `"access-key", "migrate", "migrate-store", "bench", "version"` + "\n"},
		{"NoQuotes", []string{"query", "SELECT", "1"}, 2, `tributary query "SELECT 1"`},
		{"MaxRows", []string{"query", "--max-rows", "0", "SELECT 1"}, 2, "--max-rows is 0"},
		{"ServerScheme", []string{"query", "--server", "localhost:8080", "SELECT 1"}, 2, "--server must be http://HOST:PORT"},
		{"Listen", []string{"serve", "--listen", "8099"}, 2, `--listen is "8099", it must be HOST:PORT`},
		{"ListenPort", []string{"serve", "--listen", "127.0.0.1:65536"}, 2, "must be HOST:PORT"},
		{"DebugListen", []string{"serve", "--debug-listen", "6060"}, 2, `--debug-listen is "6060"`},
		{"Lambda", []string{"serve", "--lambda", "yes"}, 2, `--lambda is "yes", it must be aws or a URL`},
		{"Region", []string{"serve", "--region", "Narnia"}, 2, `--region is "Narnia"`},
		{"Regions", []string{"serve", "--regions", "us-gov-west-1,us_east_1"}, 2, `--regions is "us_east_1"`},
		{"RegionOfClient", []string{"pool", "show", "--region", "mars", "id"}, 2, `--region is "mars"`},
		{"DataEmpty", []string{"serve", "--data="}, 2, "--data is empty"},
		{"DataFile", []string{"serve", "--data", "main.go"}, 2, "--data main.go is a file, it must be a folder"},
		{"DataFileOfKey", []string{"access-key", "create", "--data", "main.go"}, 2, "--data main.go is a file"},
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
		{"Kinesis", []string{"serve", "--kinesis", "amazon"}, 2, `--kinesis is "amazon", it must be aws, or like http://127.0.0.1:4567`},
		{"STSEndpoint", []string{"serve", "--kinesis", "aws", "--sts-endpoint", "nowhere"}, 2, `--sts-endpoint is "nowhere", it must be none, or like`},
		{"STSWithoutKinesis", []string{"serve", "--sts-endpoint", "none"}, 2, "--sts-endpoint needs --kinesis"},
		{"BucketWithoutKinesis", []string{"serve", "--payload-bucket", "payloads"}, 2, "--payload-bucket needs --kinesis"},
		{"BucketName", []string{"serve", "--kinesis", "aws", "--payload-bucket", "s3://payloads"}, 2, `--payload-bucket is "s3://payloads"`},
		{"PrefixWithoutBucket", []string{"serve", "--kinesis", "aws", "--payload-prefix", "x/"}, 2, "--payload-prefix needs --payload-bucket"},
		{"S3WithoutBucket", []string{"serve", "--kinesis", "aws", "--s3-endpoint", "http://127.0.0.1:1"}, 2, "--s3-endpoint needs --payload-bucket"},
		{"S3Endpoint", []string{"serve", "--kinesis", "aws", "--payload-bucket", "payloads", "--s3-endpoint", "there/"}, 2, `--s3-endpoint is "there/"`},
		{"BacklogLimit", []string{"serve", "--backlog-limit", "1s"}, 2, "--backlog-limit is 1s, it must be at least 1m0s"},
		{"Store", []string{"serve", "--store", "nonsense://u:secret@h/x"}, 2, "--store is no database: it must be postgres://USER:PASSWORD@HOST:PORT/DATABASE"},
		{"StorePort", []string{"serve", "--store", "postgres://u:secret@h:port/x"}, 2, "`postgres://u:xxxxx@h:port/x`: invalid port; it must be postgres://"},
		{"AccountOfKey", []string{"access-key", "list", "--account", "12"}, 2, "12 digits"},
		{"NewMasterKeyOnline", []string{"access-key", "create", "--new-master-key"}, 2, "--new-master-key works on the store itself: it needs --offline"},
		{"StoreOfKey", []string{"access-key", "create", "--store", "nonsense://"}, 2, "--store is no database"},
		{"StoreOfMigrate", []string{"migrate", "--store", "nonsense://"}, 2, "--store is no database"},
		{"StoreOfMove", []string{"migrate-store", "--to", "embedded", "--store", "nonsense://"}, 2, "--store is no database"},
		{"ToPort", []string{"migrate-store", "--to", "postgres://h:port/x"}, 2, "--to: the database's URL cannot be read"},
		{"Since", []string{"audit", "--since", "yesterday"}, 2, `--since is "yesterday", it must be a time like 2026-11-01T18:00:00Z, a date like 2026-11-01, or how far back, like 90m, 24h or 7d`},
		{"SinceNegative", []string{"audit", "--since", "-1h"}, 2, `--since is "-1h", it must be a time like`},
		{"DrainNegative", []string{"serve", "--drain", "-1s"}, 2, "must not be negative"},
		{"ActionTypo", []string{"audit", "--action", "DeleteIdentityPols"}, 2, `--action is "DeleteIdentityPols", which no operation is named, did you mean DeleteIdentityPool?`},
		{"ActionPattern", []string{"audit", "--action", "Delte*"}, 2, "did you mean Delete*?"},
		{"ActionService", []string{"audit", "--action", "cognito-sink:*"}, 2, "did you mean cognito-sync:*?"},
		{"ActionOfOtherService", []string{"audit", "--action", "kinesis:CreateIdentityPool"}, 2, "must be a name such as"},
		{"ActionForm", []string{"audit", "--action", "a b"}, 2, "must be a name such as"},
		{"SinceToCome", []string{"audit", "--since", "2999-01-01"}, 2, `--since is "2999-01-01", which is still to come`},
		{"SinceOfServer", []string{"audit", "--since", "7d", "--server", "localhost:8080"}, 2, "--server must be http://HOST:PORT"},
		{"NoServer", []string{"query", "--server", "http://127.0.0.1:1", "--credentials", credentialsFile(t), "SELECT 1"}, 1, "http://127.0.0.1:1 cannot be reached: dial tcp 127.0.0.1:1: connect: connection refused (is the server running?)"},
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
	for text, want := range map[string]string{
		"acount = 1\n":                   file + `:1: unknown setting "acount", did you mean "account"?`,
		"region = us-east-1\ncolour=1\n": file + `:2: unknown setting "colour"` + "\n",
		"account 1\n":                    file + `:1: not of the form name = value: "account 1"`,
		"drain = 1s\n\ndrain = 2s\n":     file + `:3: "drain" is set already, in line 1`,
		"\naccount = 12\n":               "it must be 12 digits (from " + file + ":2)",
		"cache = much\n":                 "(from " + file + ":1)",
	} {
		write(text)
		if code, _, stderr := tool(t, nil, args...); code != 2 || !strings.Contains(stderr, want) {
			t.Errorf("%q: %d %s", text, code, stderr)
		}
	}
}

// TestVariables: what is wrong in the environment names its variable.
func TestVariables(t *testing.T) {
	for _, c := range []struct {
		name, value string
		args        []string
		says        string
	}{
		{"TRIBUTARY_ACCOUNT", "12", []string{"serve"}, "12 digits (from TRIBUTARY_ACCOUNT)"},
		{"TRIBUTARY_DATA", "", []string{"serve"}, "--data is empty, it must be a folder (from TRIBUTARY_DATA)"},
		{"AWS_ENDPOINT_URL", "sync", []string{"query", "SELECT 1"}, "must be http://HOST:PORT (from AWS_ENDPOINT_URL)"},
	} {
		if code, _, stderr := tool(t, map[string]string{c.name: c.value}, c.args...); code != 2 || !strings.Contains(stderr, c.says) {
			t.Errorf("%s=%s: %d %s", c.name, c.value, code, stderr)
		}
	}
	// A master key that is not there ends the start after the warnings.
	env := map[string]string{"TRIBUTARY_LISTN": "x", "TRIBUTARY_VERSION": "1.2", "TRIBUTARY_MASTER_KEY_FILE": "/nowhere", "TRIBUTARY_LISTEN": "127.0.0.1:0"}
	_, _, stderr := tool(t, env, "serve", "--data", t.TempDir(), "--warehouse", "none")
	if !strings.Contains(stderr, "tributary: TRIBUTARY_LISTN is no setting, did you mean TRIBUTARY_LISTEN?\n") ||
		!strings.Contains(stderr, "TRIBUTARY_VERSION is no setting\n") || strings.Contains(stderr, "FILE is no") {
		t.Errorf("unknown variables: %s", stderr)
	}
}

// TestWhichServer: a flag beats our variable, which beats that of AWS's clients.
func TestWhichServer(t *testing.T) {
	env := map[string]string{"TRIBUTARY_SERVER": "http://127.0.0.1:2", "AWS_ENDPOINT_URL": "http://127.0.0.1:3"}
	for _, c := range []struct{ flag, drop, want string }{
		{"--server=http://127.0.0.1:1", "", "http://127.0.0.1:1"},
		{"", "", "http://127.0.0.1:2"},
		{"", "TRIBUTARY_SERVER", "http://127.0.0.1:3"},
	} {
		delete(env, c.drop)
		args := []string{"query", "--credentials", credentialsFile(t), "SELECT 1"}
		if c.flag != "" {
			args = append(args, c.flag)
		}
		if code, _, stderr := tool(t, env, args...); code != 1 || !strings.Contains(stderr, c.want+" cannot be reached") {
			t.Errorf("%v: %d %s", c, code, stderr)
		}
	}
}

// TestWrongServer: an error of a server that does not know the key names it.
func TestWrongServer(t *testing.T) {
	s := startServer(t, func(c *serveCmd) { c.Warehouse = "none" })
	_, _, stderr := tool(t, nil, "query", "--server", s.url(), "--credentials", credentialsFile(t), "SELECT 1")
	if !strings.Contains(stderr, "UnrecognizedClientException") || !strings.Contains(stderr, "(from "+s.url()+", with the access key AKIA)") {
		t.Error(stderr)
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	_, _, stderr = tool(t, nil, "query", "--server", other.URL, "--credentials", credentialsFile(t), "SELECT 1")
	if !strings.Contains(stderr, other.URL+" answers 404 Not Found: is it a tributary server?") {
		t.Error(stderr)
	}
}

func TestDidYouMean(t *testing.T) {
	known := []string{"listen", "region", "regions", "data"}
	for name, want := range map[string]string{"listn": ", did you mean listen?", "regio": ", did you mean region?", "Data": ", did you mean data?", "colour": "", "": ""} {
		if have := didYouMean(name, known, "%s"); have != want {
			t.Errorf("%s%s, want %q", name, have, want)
		}
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
	must("whsec_", "pool", "webhook-key", id, "https://hook.example.org/sync?a=1&b=2")
	fails("has no webhook", "pool", "webhook-key", id)
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
	long := &table{Columns: []string{"a"}, Rows: [][]jsontext.Value{{jsontext.Value(`"` + strings.Repeat("é", 61) + `"`)}}}
	for format, want := range map[string]string{"table": "a\n" + strings.Repeat("é", 59) + "…\n", "csv": "a\n" + strings.Repeat("é", 61) + "\n"} {
		var out bytes.Buffer
		if err := printTable(&out, long, format); err != nil || out.String() != want {
			t.Errorf("a long value as %s: %q, %v", format, out.String(), err)
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
