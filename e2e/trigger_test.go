package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const gameFunction = "arn:aws:lambda:us-east-1:" + account + ":function:game"

// syncEvent is what a function gets.
type syncEvent struct {
	Version        int
	EventType      string `json:"eventType"`
	DatasetRecords map[string]struct {
		OldValue *string `json:"oldValue"`
		NewValue *string `json:"newValue"`
		Op       string  `json:"op"`
	} `json:"datasetRecords"`
}

// play is a function of a game: it upper-cases the name, removes cheats, ignores
// titles, and gives a badge for a level. Of a dataset with a record "fail" it
// does as that says.
func play(ctx context.Context, body []byte) (answer []byte, failed string) {
	var whole map[string]json.RawMessage
	var e syncEvent
	if json.Unmarshal(body, &whole) != nil || json.Unmarshal(body, &e) != nil || e.Version != 2 || e.EventType != "SyncTrigger" {
		return nil, "Unhandled"
	}
	records := map[string]any{}
	for key, r := range e.DatasetRecords {
		value := ""
		if r.NewValue != nil {
			value = *r.NewValue
		}
		switch {
		case key == "fail" && value == "error":
			return []byte(`{"errorMessage":"on purpose"}`), "Unhandled"
		case key == "fail" && value == "output":
			return []byte(`{"ok":true}`), ""
		case key == "fail" && value == "dataset":
			whole["datasetName"] = json.RawMessage(`"another"`)
		case key == "fail" && value == "slow":
			<-ctx.Done()
			return nil, ""
		case key == "title":
			continue
		case key == "name":
			records[key] = object{"newValue": strings.ToUpper(value), "op": r.Op}
			continue
		case key == "cheat":
			records[key] = object{"newValue": value, "op": "remove"}
			continue
		}
		records[key] = r
	}
	if level := e.DatasetRecords["level"]; level.OldValue != nil && level.NewValue != nil {
		records["badge"] = object{"newValue": "for level " + *level.NewValue, "op": "replace"}
	}
	whole["datasetRecords"], _ = json.Marshal(records)
	answer, _ = json.Marshal(whole)
	return answer, ""
}

// fakeLambda speaks the Invoke API for the game's function. Servers that others
// wrote run functions in containers only, which the tests do without.
func fakeLambda(t *testing.T) string {
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		name, ours := strings.CutPrefix(r.URL.Path, "/2015-03-31/functions/")
		name, invoked := strings.CutSuffix(name, "/invocations")
		refuse := func(status int, code string) {
			w.Header().Set("X-Amzn-ErrorType", code)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"Message":"refused"}`)
		}
		switch {
		case !ours || !invoked || r.Method != http.MethodPost || !strings.Contains(r.Header.Get("Authorization"), "/us-east-1/lambda/aws4_request"):
			refuse(400, "InvalidRequestContentException")
		case name != gameFunction:
			refuse(404, "ResourceNotFoundException")
		case strings.Contains(string(body), `"throttle"`):
			refuse(429, "TooManyRequestsException")
		default:
			answer, failed := play(r.Context(), body)
			if failed != "" {
				w.Header().Set("X-Amz-Function-Error", failed)
			}
			_, _ = w.Write(answer)
		}
	}))
	t.Cleanup(h.Close)
	return h.URL
}

// fakeHook is a webhook of the game, which keeps the calls that it gets.
type fakeHook struct {
	*httptest.Server
	mu    sync.Mutex
	calls []hookCall
}

type hookCall struct {
	header http.Header
	body   []byte
}

func newHook(t *testing.T) *fakeHook {
	f := &fakeHook{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		f.calls = append(f.calls, hookCall{r.Header, body})
		f.mu.Unlock()
		if strings.Contains(string(body), `"throttle"`) {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		answer, failed := play(r.Context(), body)
		if failed != "" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = w.Write(answer)
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *fakeHook) last(t *testing.T) hookCall {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.calls) == 0 {
		t.Fatal("the webhook was not called")
	}
	return f.calls[len(f.calls)-1]
}

// TestTrigger has real clients sync through functions of both kinds.
func TestTrigger(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--lambda", fakeLambda(t))
	s.env = append(s.env, "AWS_ACCESS_KEY_ID=lambda", "AWS_SECRET_ACCESS_KEY=secret")
	s.start()
	hook := newHook(t)
	for kind, function := range map[string]string{"lambda": gameFunction, "webhook": hook.URL + "/game"} {
		t.Run(kind, func(t *testing.T) {
			s := s.in(t)
			node, err := exec.LookPath("node")
			if err != nil {
				t.Fatalf("%v: run scripts/e2e-setup first", err)
			}
			env := []string{"NODE_PATH=" + built(t, "js", "node_modules"), "AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE=1", "FUNCTION=" + function}
			cases(t, s, env, node, filepath.Join("js", "trigger.js"))
			metrics := s.developer().do(t, syncService, "GET", "/metrics", nil)
			for _, outcome := range []string{"ok", "error", "timeout", "throttled"} {
				if !strings.Contains(string(metrics.body), fmt.Sprintf(`tributary_trigger_seconds_count{kind="%s",outcome="%s"}`, kind, outcome)) {
					t.Errorf("the metrics do not count %s", outcome)
				}
			}
		})
	}
	t.Run("CLI", func(t *testing.T) { triggerByCLI(t, s.in(t), hook) })
	t.Run("OneChange", func(t *testing.T) { triggerIsOneChange(t, s.in(t), hook) })
	t.Run("Verify", func(t *testing.T) { verifyAsDocumented(t, s.in(t), hook) })
}

// triggerByCLI: the AWS CLI sets, shows and removes functions.
func triggerByCLI(t *testing.T, s *server, hook *fakeHook) {
	k := s.key()
	c := newCLI(t, s.url, k.id, k.secret, "")
	pool := s.developer().newPool(t, "trigger cli")
	events := func() any {
		return c.aws("cognito-sync", "get-cognito-events", "--identity-pool-id", pool)["Events"]
	}
	set := func(function string) []string {
		return []string{"cognito-sync", "set-cognito-events", "--identity-pool-id", pool, "--events", "SyncTrigger=" + function}
	}
	c.aws(set(hook.URL)...)
	if have := fmt.Sprint(events()); have != "map[SyncTrigger:"+hook.URL+"]" {
		t.Errorf("the events are %s", have)
	}
	c.fail("InvalidParameterException", set("https://169.254.169.254/latest")...)
	c.aws(set("")...)
	if have := fmt.Sprint(events()); have != "map[]" {
		t.Errorf("the events are %s", have)
	}
}

// triggerIsOneChange: what a function adds is in the client's event of the stream
// and in the warehouse.
func triggerIsOneChange(t *testing.T, s *server, hook *fakeHook) {
	c := s.developer()
	pool := c.newPool(t, "trigger stream")
	c.newStream(t, pool, "trigger-stream", 1)
	c.rest(t, "POST", "/identitypools/"+url.PathEscape(pool)+"/events", object{"Events": object{"SyncTrigger": hook.URL}}, nil)
	g := c.newGuest(t, pool)
	d := g.dataset("game")
	g.sync(t, d, replace("level", "1", 0), replace("name", "Ann", 0))
	var out struct{ Records []record }
	g.rest(t, "POST", d.path(), update{g.list(t, d).SyncSessionToken, []patch{replace("level", "2", 1)}}, &out)
	if len(out.Records) != 2 || out.Records[1].Key != "badge" || out.Records[1].SyncCount != 2 {
		t.Errorf("the answer is %+v", out.Records)
	}
	events := c.readStream(t, "trigger-stream")
	if len(events) != 2 {
		t.Fatalf("%d events, want 2", len(events))
	}
	var keys []string
	for _, r := range events[1].KinesisSyncRecords {
		keys = append(keys, fmt.Sprintf("%s=%s@%d", r.Key, *r.Value, r.SyncCount))
	}
	if want := []string{"level=2@2", "badge=for level 2@2"}; !slices.Equal(keys, want) {
		t.Errorf("the event holds %q, want %q", keys, want)
	}
	s.awaitRows(pool, 4, 20*time.Second)
}

// snippets are the functions of docs/triggers.md that verify, with what calls
// them: a JSON object on stdin, true or false on stdout.
var snippets = []struct{ language, file, before, after string }{
	{"js", "verify.js", "", `
const call = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
console.log(verify(call.key, call.headers, Buffer.from(call.body, 'base64')));
`},
	{"python", "verify.py", "", `
import json, sys
call = json.load(sys.stdin)
print(str(verify(call["key"], call["headers"], base64.b64decode(call["body"]))).lower())
`},
	{"go", "verify.go", `package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)
`, `
func main() {
	var call struct {
		Key     string
		Headers map[string]string
		Body    []byte
	}
	_ = json.NewDecoder(os.Stdin).Decode(&call)
	h := http.Header{}
	for name, value := range call.Headers {
		h.Set(name, value)
	}
	fmt.Println(verify(call.Key, h, call.Body))
}
`},
}

// verifyAsDocumented: the code of the documentation takes what the server signs,
// and nothing else.
func verifyAsDocumented(t *testing.T, s *server, hook *fakeHook) {
	c := s.developer()
	pool := c.newPool(t, "trigger key")
	address := hook.URL + "/signed?x=ü"
	c.rest(t, "POST", "/identitypools/"+url.PathEscape(pool)+"/events", object{"Events": object{"SyncTrigger": address}}, nil)
	g := c.newGuest(t, pool)
	g.sync(t, g.dataset("game"), replace("name", "Zoë", 0))
	call := hook.last(t)
	key := webhookKey(t, s, pool, address)
	if set := webhookKey(t, s, pool, ""); set != key {
		t.Errorf("the key of the webhook that is set is %s, that of its address %s", set, key)
	}
	other := webhookKey(t, s, pool, address+"2")
	headers := map[string]string{}
	for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		headers[name] = call.header.Get(name)
	}
	old := map[string]string{"webhook-timestamp": "1700000000", "webhook-id": headers["webhook-id"], "webhook-signature": headers["webhook-signature"]}
	docs, err := os.ReadFile(filepath.Join("..", "docs", "triggers.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, snippet := range snippets {
		code := regexp.MustCompile("(?s)```" + snippet.language + "\n(.*?)```").FindSubmatch(docs)
		if code == nil {
			t.Fatalf("the documentation has no code in %s", snippet.language)
		}
		path := filepath.Join(t.TempDir(), snippet.file)
		if err := os.WriteFile(path, []byte(snippet.before+string(code[1])+snippet.after), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name    string
			key     string
			headers map[string]string
			body    []byte
			want    string
		}{
			{"as it is", key, headers, call.body, "true"},
			{"another body", key, headers, append(slices.Clone(call.body), ' '), "false"},
			{"another key", other, headers, call.body, "false"},
			{"an old time", key, old, call.body, "false"},
		} {
			in := encode(t, object{"key": c.key, "headers": c.headers, "body": c.body})
			if have := runSnippet(t, snippet.language, path, in); have != c.want {
				t.Errorf("%s, %s: %s, want %s", snippet.language, c.name, have, c.want)
			}
		}
	}
}

func webhookKey(t *testing.T, s *server, pool, address string) string {
	t.Helper()
	args := []string{"pool", "webhook-key", "--server", s.url, "--data", s.data, pool}
	if address != "" {
		args = append(args, address)
	}
	r := runCommand(t, s.env, binary(t), args...)
	if r.code != 0 || !strings.HasPrefix(r.stdout, "whsec_") {
		t.Fatalf("%v", r)
	}
	return strings.TrimSpace(r.stdout)
}

// runSnippet runs a program with something on its stdin.
func runSnippet(t *testing.T, language, path string, in []byte) string {
	t.Helper()
	command := map[string][]string{"js": {"node"}, "python": {built(t, "venv", "bin", "python")}, "go": {"go", "run"}}[language]
	cmd := exec.Command(command[0], append(command[1:], path)...)
	cmd.Stdin = strings.NewReader(string(in))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v %s", language, err, out)
	}
	return strings.TrimSpace(string(out))
}
