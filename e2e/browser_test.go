package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	cdpnetwork "github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// webApp is an app's own site: its page, and the backend that knows its users.
type webApp struct {
	t    *testing.T
	url  string
	s    *server
	dev  *caller
	pool string
}

// newWebApp serves a page; use says with which server.
func newWebApp(t *testing.T) *webApp {
	t.Helper()
	a := &webApp{t: t}
	mux := http.NewServeMux()
	for name, file := range map[string]string{
		"/{$}":                   filepath.Join("js", "browser.html"),
		"/browser.js":            filepath.Join("js", "browser.js"),
		"/aws-sdk.min.js":        built(t, "js", "node_modules", "aws-sdk", "dist", "aws-sdk.min.js"),
		"/amazon-cognito.min.js": built(t, "js", "node_modules", "amazon-cognito-js", "dist", "amazon-cognito.min.js"),
	} {
		mux.HandleFunc("GET "+name, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	}
	mux.HandleFunc("GET /settings.js", a.settings)
	mux.HandleFunc("POST /sign-in", a.signIn)
	site := httptest.NewServer(mux)
	t.Cleanup(site.Close)
	a.url = site.URL
	return a
}

func (a *webApp) use(s *server) {
	a.t.Helper()
	a.s, a.dev = s, s.developer()
	var out struct{ IdentityPoolId string }
	a.dev.call(a.t, identityService, "CreateIdentityPool", object{"IdentityPoolName": "web", "AllowUnauthenticatedIdentities": true, "DeveloperProviderName": developerProvider}, &out)
	a.pool = out.IdentityPoolId
}

func (a *webApp) settings(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/javascript")
	_, _ = fmt.Fprintf(w, "const settings = %s;", encode(a.t, object{"endpoint": a.s.url, "region": region, "pool": a.pool}))
}

// signIn gets a token of a user, whose password an app would have checked, for
// the identity that the page is a guest as or, if the user has one, that.
func (a *webApp) signIn(w http.ResponseWriter, r *http.Request) {
	var in struct{ User, Identity string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ask := object{"IdentityPoolId": a.pool, "Logins": object{developerProvider: in.User}}
	out, err := answer{}, error(nil)
	if in.Identity != "" {
		out, err = a.token(ask, object{"IdentityId": in.Identity})
	}
	if in.Identity == "" || strings.Contains(string(out.body), "DeveloperUserAlreadyRegisteredException") {
		out, err = a.token(ask, nil)
	}
	if err != nil || out.status != http.StatusOK {
		a.t.Error(errorOf("the backend's sign-in", out, err))
	}
	_, _ = w.Write(out.body)
}

func (a *webApp) token(ask, more object) (answer, error) {
	in := object{}
	for _, o := range []object{ask, more} {
		for name, v := range o {
			in[name] = v
		}
	}
	body, err := json.Marshal(in)
	if err != nil {
		return answer{}, err
	}
	return a.dev.rpc(identityService, "GetOpenIdTokenForDeveloperIdentity", body)
}

// browser is a Chromium with a profile of its own, and the app's page in it.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	errors []string // of the page's console
	sent   []string // address and body of each request
}

// browser starts one. When the test ends, its console must have no errors that
// the test has not taken.
func (a *webApp) browser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium-headless-shell")
	if err != nil {
		t.Fatalf("%v: run scripts/e2e-setup first", err)
	}
	// The profile is a new folder of chromedp's, which goes with the process.
	options := slices.Concat(chromedp.DefaultExecAllocatorOptions[:], []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.NoSandbox})
	// The test's own context ends before its cleanup.
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithErrorf(t.Logf))
	b := &browser{t: t, ctx: ctx}
	t.Cleanup(func() {
		b.close()
		cancel()
		stop()
	})
	chromedp.ListenTarget(ctx, b.heard)
	if err := chromedp.Run(ctx); err != nil { // starts it, and must not have a time-out: that would end it
		t.Fatalf("%s: %v", path, err)
	}
	b.load(a)
	return b
}

func (b *browser) close() {
	const lateErrors = "new Promise((done) => setTimeout(done))" // those of timers that are due
	if err := b.try(chromedp.Evaluate(lateErrors, nil, awaitPromise)); err != nil {
		b.t.Errorf("the page: %v", err)
	}
	if err := chromedp.Cancel(b.ctx); err != nil {
		b.t.Errorf("the browser does not close: %v", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.errors) > 0 {
		b.t.Errorf("errors in the page's console:\n%s", strings.Join(b.errors, "\n"))
	}
}

// heard takes what the browser tells of the page.
func (b *browser) heard(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.errors = append(b.errors, e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError {
			for _, arg := range e.Args {
				b.errors = append(b.errors, string(arg.Value)+arg.Description)
			}
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError {
			b.errors = append(b.errors, e.Entry.Text+" "+e.Entry.URL)
		}
	case *cdpnetwork.EventRequestWillBeSent:
		text := e.Request.Method + " " + e.Request.URL
		for _, part := range e.Request.PostDataEntries {
			body, err := base64.StdEncoding.DecodeString(part.Bytes)
			text += fmt.Sprintf(" %s %v", body, err)
		}
		b.sent = append(b.sent, text)
	}
}

// takeErrors waits for an error in the console with this text, and forgets all
// that have it.
func (b *browser) takeErrors(text string) {
	b.t.Helper()
	eventually(b.t, 10*time.Second, func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		before := len(b.errors)
		b.errors = slices.DeleteFunc(b.errors, func(e string) bool { return strings.Contains(e, text) })
		if len(b.errors) == before {
			return fmt.Errorf("no error in the console has %q: %q", text, b.errors)
		}
		return nil
	})
}

// requests gives what was sent since the last call.
func (b *browser) requests() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	sent := b.sent
	b.sent = nil
	return sent
}

// try has the browser do something.
func (b *browser) try(what ...chromedp.Action) error {
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	return chromedp.Run(ctx, what...)
}

func (b *browser) load(a *webApp) {
	b.t.Helper()
	if err := b.try(chromedp.Navigate(a.url)); err != nil {
		b.t.Fatalf("the page: %v", err)
	}
}

// offline cuts the page off from all servers, or ends that.
func (b *browser) offline(yes bool) {
	b.t.Helper()
	const unlimited = -1
	if err := b.try(cdpnetwork.EmulateNetworkConditions(yes, 0, unlimited, unlimited)); err != nil {
		b.t.Fatal(err)
	}
}

// attempt calls a function of the page's app.
func (b *browser) attempt(out any, function string, args ...any) error {
	b.t.Helper()
	if args == nil {
		args = []any{}
	}
	expression := fmt.Sprintf("app.%s(...%s)", function, encode(b.t, args))
	return b.try(chromedp.Evaluate(expression, out, awaitPromise))
}

func awaitPromise(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

func (b *browser) call(out any, function string, args ...any) {
	b.t.Helper()
	if err := b.attempt(out, function, args...); err != nil {
		b.t.Fatalf("%s%q: %v", function, args, err)
	}
}

// guest becomes a guest and gives the identity's id.
func (b *browser) guest() (id string) {
	b.t.Helper()
	b.call(&id, "guest")
	return id
}

// signIn signs a user in and gives the identity's id.
func (b *browser) signIn(user string) (id string) {
	b.t.Helper()
	b.call(&id, "signIn", user)
	return id
}

func (b *browser) put(name string, values map[string]string) {
	b.t.Helper()
	b.call(nil, "put", name, values)
}

func (b *browser) all(name string) (values map[string]string) {
	b.t.Helper()
	b.call(&values, "all", name)
	return values
}

// told is what the callbacks of a synchronization were told.
type told struct {
	Conflicts map[string][2]string // by key, the local value and the remote one
	Deleted   []string
	Merged    []string
}

// sync synchronizes a dataset. Of the keys in conflict those named keep the
// local value, the others take the remote one.
func (b *browser) sync(name string, local ...string) (out told) {
	b.t.Helper()
	winners := map[string]string{}
	for _, key := range local {
		winners[key] = "local"
	}
	b.call(&out, "sync", name, winners)
	return out
}

// quietly is sync that must not ask the app anything.
func (b *browser) quietly(name string) {
	b.t.Helper()
	if out := b.sync(name); len(out.Conflicts)+len(out.Deleted)+len(out.Merged) > 0 {
		b.t.Errorf("the app is told of %+v", out)
	}
}

// cutOff is sync that must fail, as nothing reaches a server.
func (b *browser) cutOff(name string) {
	b.t.Helper()
	if err := b.attempt(nil, "sync", name); err == nil || !strings.Contains(err.Error(), "Network Failure") {
		b.t.Errorf("a sync that is cut off: %v", err)
	}
	b.takeErrors("net::ERR_INTERNET_DISCONNECTED")
}
