package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSettings says the same things by flag, environment and file.
func TestSettings(t *testing.T) {
	t.Parallel()
	t.Run("Precedence", testPrecedence)
	t.Run("Sources", testSettingSources)
	t.Run("Wrong", testWrongSettings)
}

// settings writes a settings file.
func settings(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "settings")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// servedAs tells by which account and region a server works.
func servedAs(t *testing.T, s *server) string {
	t.Helper()
	dev := s.developer()
	d := dataset{dev.newPool(t, "settings"), "", "notes"}
	g := dev.newGuest(t, d.pool)
	d.identity = g.identity
	r := dev.sync(t, d, replace("k", "v", 0))
	inPool, _, _ := strings.Cut(d.pool, ":")
	return r[0].LastModifiedBy + " " + inPool
}

// testPrecedence: a flag beats the environment, which beats the file, which
// beats the default.
func testPrecedence(t *testing.T) {
	const file, variable, flag = "111111111111", "222222222222", "333333333333"
	for name, c := range map[string]struct {
		file, env, args []string
		want            string
	}{
		"Default":           {nil, nil, nil, "000000000000 us-east-1"},
		"File":              {[]string{"account = " + file, "region=eu-west-1"}, nil, nil, file + " eu-west-1"},
		"FileComments":      {[]string{"# account = 1", "", "  account  =  " + file + "  "}, nil, nil, file + " us-east-1"},
		"Environment":       {nil, []string{"TRIBUTARY_ACCOUNT=" + variable}, nil, variable + " us-east-1"},
		"EnvironmentOfFile": {[]string{"account = " + file, "region = eu-west-1"}, []string{"TRIBUTARY_ACCOUNT=" + variable}, nil, variable + " eu-west-1"},
		"FlagOfFile":        {[]string{"account = " + file}, nil, []string{"--account", flag}, flag + " us-east-1"},
		"FlagOfEnvironment": {nil, []string{"TRIBUTARY_ACCOUNT=" + variable}, []string{"--account", flag}, flag + " us-east-1"},
		"All":               {[]string{"account = " + file, "region = eu-west-1"}, []string{"TRIBUTARY_ACCOUNT=" + variable, "TRIBUTARY_REGION=eu-west-2"}, []string{"--account", flag}, flag + " eu-west-2"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.env = append(s.env, c.env...)
			args := append([]string{"serve", "--listen", "127.0.0.1:0", "--data", s.data, "--warehouse", "none"}, c.args...)
			if c.file != nil {
				args = append(args, "--config", settings(t, c.file...))
			}
			s.launchWith(args...)
			s.awaitReady()
			if have := servedAs(t, s); have != c.want {
				t.Errorf("have %q, want %q", have, c.want)
			}
		})
	}
}

// testSettingSources starts servers without any flag.
func testSettingSources(t *testing.T) {
	t.Run("FileAlone", func(t *testing.T) {
		s := newServer(t)
		path := settings(t, "listen = 127.0.0.1:0", "data = "+s.data, "warehouse = none", "cache = 8MiB", "drain = 5s", "log-level = debug", "min-free = 0")
		s.launchWith("--config", path, "serve")
		s.awaitReady()
		s.developer().newPool(t, "by file")
	})
	t.Run("FileNamedByEnvironment", func(t *testing.T) {
		s := newServer(t)
		s.env = append(s.env, "TRIBUTARY_CONFIG="+settings(t, "listen = 127.0.0.1:0", "data = "+s.data, "warehouse = none"))
		s.launchWith("serve")
		s.awaitReady()
		if _, err := os.Stat(filepath.Join(s.data, "store")); (err == nil) == onPostgres() {
			t.Errorf("the folder of the embedded store: %v", err)
		}
	})
	t.Run("EnvironmentAlone", func(t *testing.T) {
		s := newServer(t)
		s.env = append(s.env, "TRIBUTARY_LISTEN=127.0.0.1:0", "TRIBUTARY_DATA="+s.data, "TRIBUTARY_WAREHOUSE=none", "TRIBUTARY_LOG_LEVEL=debug", "TRIBUTARY_NO_SUCH_FLAG=1")
		s.launchWith("serve")
		s.awaitReady()
		if !strings.Contains(s.stderr.String(), "TRIBUTARY_NO_SUCH_FLAG is no setting") {
			t.Errorf("an unknown variable is not named: %s", s.stderr)
		}
		s.developer().newPool(t, "by environment")
		if r := s.run("pool", "create", "--server", s.url, "by command"); r.code != 0 { // TRIBUTARY_DATA counts here too
			t.Errorf("%v", r)
		}
	})
}

func testWrongSettings(t *testing.T) {
	s := newServer(t)
	for name, c := range map[string]struct {
		file []string
		env  string
		args []string
		code int
		text string
	}{
		"UnknownName":      {file: []string{"region = us-east-1", "colour = blue"}, code: 2, text: `:2: unknown setting "colour"`},
		"MisspelledName":   {file: []string{"listn = 127.0.0.1:0"}, code: 2, text: `unknown setting "listn", did you mean "listen"?`},
		"NameTwice":        {file: []string{"drain = 1s", "drain = 2s"}, code: 2, text: ":2: "},
		"EmptyData":        {args: []string{"--data="}, code: 2, text: "--data is empty"},
		"WrongRegion":      {args: []string{"--region", "Narnia"}, code: 2, text: "--region"},
		"WrongDebugListen": {args: []string{"--debug-listen", "6060"}, code: 2, text: "--debug-listen"},
		"NameOfFlag":       {file: []string{"--account = 1"}, code: 2, text: `"--account"`},
		"NoEquals":         {file: []string{"# one", "account"}, code: 2, text: ":2: not of the form"},
		"WrongSize":        {file: []string{"cache = much"}, code: 2, text: "much"},
		"WrongDuration":    {file: []string{"drain = soon"}, code: 2, text: "soon"},
		"WrongChoice":      {file: []string{"warehouse = oracle"}, code: 2, text: "warehouse"},
		"WrongAccount":     {file: []string{"account = 12"}, code: 2, text: "12 digits"},
		"WrongByVariable":  {env: "TRIBUTARY_CACHE=much", code: 2, text: "much"},
		"NoFile":           {args: []string{"--config", "/nowhere/settings"}, code: 2, text: "/nowhere/settings"},
		"UnknownFlag":      {args: []string{"--colour", "blue"}, code: 2, text: "--colour"},
		"UnknownArgument":  {args: []string{"blue"}, code: 2, text: "blue"},
		"FlagWithoutValue": {args: []string{"--account"}, code: 2, text: "--account"},
		"NegativeSize":     {args: []string{"--cache=-1"}, code: 2, text: "-1"},
		"WrongShards":      {args: []string{"--shards", "0"}, code: 2, text: "--shards"},
		"WrongInlineLimit": {args: []string{"--stream-inline-limit", "11MiB"}, code: 2, text: "--stream-inline-limit"},
		"WrongMinFree":     {args: []string{"--min-free", "200%"}, code: 2, text: "--min-free"},
		"WrongPublicURL":   {args: []string{"--public-url", "sync.example.org"}, code: 2, text: "--public-url"},
		"WrongMemoryLimit": {env: "TRIBUTARY_MEMORY_LIMIT=0", code: 2, text: "--memory-limit"},
		"WrongHeadCache":   {file: []string{"head-cache = 1GiB"}, code: 2, text: "--head-cache"},
		"ConfigInFile":     {file: []string{"config = another"}, code: 2, text: "cannot name another"},
		"ConfigNoFile":     {env: "TRIBUTARY_CONFIG=/nowhere/settings", code: 2, text: "/nowhere/settings"},
		"WrongListen":      {args: []string{"--listen", "nowhere:port:1"}, code: 2, text: "nowhere:port:1"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(t.TempDir(), "data")}, c.args...)
			if c.file != nil {
				args = append(args, "--config", settings(t, c.file...))
			}
			env := s.env
			if c.env != "" {
				env = append(environment(t), c.env)
			}
			r := runCommand(t, env, binary(t), args...)
			if r.code != c.code || !strings.Contains(r.stderr, c.text) || strings.Contains(r.stdout, "ready") {
				t.Errorf("%v", r)
			}
		})
	}
	t.Run("UnknownCommand", func(t *testing.T) {
		if r := s.run("swim"); r.code != 2 || !strings.Contains(r.stderr, "swim") {
			t.Errorf("%v", r)
		}
	})
	t.Run("Version", func(t *testing.T) {
		if r := s.run("version"); r.code != 0 || !strings.HasPrefix(r.stdout, "tributary ") || r.stderr != "" {
			t.Errorf("%v", r)
		}
	})
}

// TestPoolCommand makes and changes pools by the command line.
func TestPoolCommand(t *testing.T) {
	t.Parallel()
	const pool, identity = region + ":11111111-2222-4333-8444-555555555555", region + ":66666666-7777-4888-8999-aaaaaaaaaaaa"
	s := startServer(t, "--warehouse", "none")
	command := func(args ...string) result {
		return s.run(append([]string{"pool", args[0], "--server", s.url, "--data", s.data}, args[1:]...)...)
	}
	says := func(t *testing.T, r result, lines ...string) {
		t.Helper()
		for _, line := range lines {
			if r.code != 0 || r.stderr != "" || !strings.Contains(r.stdout, line+"\n") {
				t.Errorf("lacks %q: %v", line, r)
			}
		}
	}
	t.Run("Create", func(t *testing.T) {
		says(t, command("create", "--id", pool, "--guests", "my app"),
			"pool           "+pool, "name           my app", "guests         true", "dataset bytes  1048576", "records        1024", "datasets       20")
		says(t, command("create", "no guests"), "guests         false")
	})
	t.Run("Show", func(t *testing.T) { says(t, command("show", pool), "name           my app", "datasets       20") })
	t.Run("Set", func(t *testing.T) {
		says(t, command("set", pool, "--datasets", "2", "--dataset-bytes", "4MiB"), "datasets       2", "dataset bytes  4194304", "records        1024", "guests         true")
		says(t, command("set", pool, "--records", "2", "--value-bytes", "1KiB"), "datasets       2", "records        2", "value bytes    1024")
		says(t, command("set", pool, "--dataset-bytes", "0"), "dataset bytes  1048576", "records        2")
		says(t, command("set", pool, "--no-guests"), "guests         false")
		says(t, command("set", pool, "--guests"), "guests         true")
	})
	t.Run("Identity", func(t *testing.T) {
		says(t, command("identity", pool, identity), "pool      "+pool, "identity  "+identity)
	})
	t.Run("LimitsInForce", func(t *testing.T) {
		dev, d := s.developer(), dataset{pool, identity, "notes"}
		dev.sync(t, d, replace("a", "1", 0), replace("b", strings.Repeat("x", 1024), 0))
		for _, p := range []patch{replace("c", "1", 0), replace("a", strings.Repeat("x", 1025), 1)} {
			a := dev.do(t, syncService, "POST", d.path(), encode(t, update{dev.list(t, d).SyncSessionToken, []patch{p}}))
			wantFault(t, a, 400, "LimitExceededException", "limit")
		}
	})
	t.Run("Kept", func(t *testing.T) {
		s.restart()
		says(t, command("show", pool), "datasets       2", "records        2", "guests         true")
	})
	unknown := strings.ReplaceAll(pool, "1111", "9999")
	for name, c := range map[string]struct {
		args []string
		code int
		text string
	}{
		"CreateTwice":     {[]string{"create", "--id", pool, "again"}, 1, "ResourceConflictException"},
		"CreateBadId":     {[]string{"create", "--id", "nonsense", "bad"}, 1, "InvalidParameterException"},
		"CreateBadName":   {[]string{"create", "<b>"}, 1, "InvalidParameterException"},
		"CreateNoName":    {[]string{"create"}, 2, "<name>"},
		"ShowUnknown":     {[]string{"show", unknown}, 1, "ResourceNotFoundException"},
		"ShowTricky":      {[]string{"show", "../query"}, 1, "UnknownOperationException"},
		"SetUnknown":      {[]string{"set", unknown, "--datasets", "1"}, 1, "ResourceNotFoundException"},
		"SetNegative":     {[]string{"set", pool, "--datasets=-1"}, 1, "InvalidParameterException"},
		"SetNonsense":     {[]string{"set", pool, "--dataset-bytes", "big"}, 2, "big"},
		"IdentityTwice":   {[]string{"identity", pool, identity}, 1, "ResourceConflictException"},
		"IdentityUnknown": {[]string{"identity", unknown, strings.ReplaceAll(identity, "6666", "7777")}, 1, "ResourceNotFoundException"},
		"IdentityBadId":   {[]string{"identity", pool, "nonsense"}, 1, "InvalidParameterException"},
	} {
		t.Run(name, func(t *testing.T) {
			if r := command(c.args...); r.code != c.code || r.stdout != "" && r.code == 1 || !strings.Contains(r.stderr, c.text) {
				t.Errorf("%v", r)
			}
		})
	}
	t.Run("NoKey", func(t *testing.T) {
		if r := s.run("pool", "show", "--server", s.url, "--data", t.TempDir(), pool); r.code != 1 || !strings.Contains(r.stderr, "no developer key") {
			t.Errorf("%v", r)
		}
	})
	t.Run("NoServer", func(t *testing.T) {
		if r := s.run("pool", "show", "--server", "http://127.0.0.1:1", "--data", s.data, pool); r.code != 1 || !strings.Contains(r.stderr, "is the server running?") {
			t.Errorf("%v", r)
		}
	})
}
