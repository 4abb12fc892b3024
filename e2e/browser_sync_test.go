package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestBrowser is amazon-cognito-js as published on pages of another origin than
// the server's, in Chromium.
func TestBrowser(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	for name, scenario := range map[string]func(*testing.T, *webApp){
		"Converge": convergeInBrowsers,
		"Deleted":  deleteInBrowser,
		"Merge":    mergeInBrowsers,
		"SignOut":  signOutInBrowser,
		"Faults":   faultsInBrowser,
	} {
		t.Run(name, func(t *testing.T) {
			a := newWebApp(t)
			a.use(s)
			scenario(t, a)
		})
	}
}

type values = map[string]string

// wantHeld fails the test unless the server and all of the browsers hold these
// values of a dataset, where "" is a removed one, and the server this count.
func (a *webApp) wantHeld(t *testing.T, identity, name string, count int64, want map[string]string, browsers ...*browser) {
	t.Helper()
	text := string(encode(t, want))
	for n, b := range browsers {
		if have := string(encode(t, b.all(name))); have != text {
			t.Errorf("browser %d holds %s, want %s", n+1, have, text)
		}
	}
	values := map[string]string{}
	l := a.dev.list(t, dataset{a.pool, identity, name})
	for _, r := range l.Records {
		values[r.Key] = ""
		if r.Value != nil {
			values[r.Key] = *r.Value
		}
	}
	if have := string(encode(t, values)); have != text || l.DatasetSyncCount != count {
		t.Errorf("the server holds %s with sync count %d, want %s with %d", have, l.DatasetSyncCount, text, count)
	}
}

// wantDatasets fails the test unless an identity has these datasets.
func (a *webApp) wantDatasets(t *testing.T, identity string, want ...string) {
	t.Helper()
	var out struct {
		Datasets []struct{ DatasetName string }
	}
	a.dev.rest(t, http.MethodGet, identityPath(a.pool, identity)+"/datasets", nil, &out)
	var have []string
	for _, d := range out.Datasets {
		have = append(have, d.DatasetName)
	}
	if !slices.Equal(have, want) {
		t.Errorf("%s has the datasets %q, want %q", identity, have, want)
	}
}

// convergeInBrowsers: two browsers of one user change the same dataset, offline
// too, and hold the same in the end.
func convergeInBrowsers(t *testing.T, a *webApp) {
	one, two := a.browser(t), a.browser(t)
	alice := one.signIn("alice")
	if id := two.signIn("alice"); id != alice {
		t.Fatalf("in another browser alice is %s, not %s", id, alice)
	}
	want := values{"color": "blue", "size": "10"}
	one.put("notes", want)
	one.quietly("notes")
	two.quietly("notes")
	a.wantHeld(t, alice, "notes", 1, want, one, two)

	one.offline(true)
	two.offline(true)
	one.put("notes", values{"one": "a"})
	two.put("notes", values{"two": "b"})
	one.cutOff("notes")
	two.cutOff("notes")
	a.wantHeld(t, alice, "notes", 1, want)
	one.offline(false)
	two.offline(false)
	two.load(a) // what is not sent outlives the page
	two.signIn("alice")
	one.quietly("notes")
	two.quietly("notes")
	one.quietly("notes")
	want["one"], want["two"] = "a", "b"
	a.wantHeld(t, alice, "notes", 3, want, one, two)

	one.offline(true)
	two.offline(true)
	one.put("notes", values{"color": "red", "size": "11"})
	two.put("notes", values{"color": "green", "size": "12"})
	one.offline(false)
	two.offline(false)
	one.quietly("notes")
	conflicts := map[string][2]string{"color": {"green", "red"}, "size": {"12", "11"}}
	if told := two.sync("notes", "size"); !maps.Equal(told.Conflicts, conflicts) {
		t.Errorf("conflicts %v, want %v", told.Conflicts, conflicts)
	}
	one.quietly("notes")
	want["color"], want["size"] = "red", "12"
	a.wantHeld(t, alice, "notes", 5, want, one, two)

	one.call(nil, "remove", "notes", "two")
	one.quietly("notes")
	two.quietly("notes")
	want["two"] = "" // what this library makes of a removed record
	a.wantHeld(t, alice, "notes", 6, want, one, two)

	one.call(nil, "remove", "notes", "one")
	one.put("notes", values{"size": "13"})
	two.call(nil, "remove", "notes", "size")
	two.put("notes", values{"one": "again"})
	one.quietly("notes")
	conflicts = map[string][2]string{"one": {"again", ""}, "size": {"", "13"}}
	if told := two.sync("notes", "one", "size"); !maps.Equal(told.Conflicts, conflicts) {
		t.Errorf("conflicts %v, want %v", told.Conflicts, conflicts)
	}
	one.quietly("notes")
	want["one"], want["size"] = "again", ""
	a.wantHeld(t, alice, "notes", 8, want, one, two)
}

// deleteInBrowser: a dataset that one browser deletes goes from the other, and
// can be made anew.
func deleteInBrowser(t *testing.T, a *webApp) {
	one, two := a.browser(t), a.browser(t)
	alice := one.signIn("alice")
	two.signIn("alice")
	one.put("notes", values{"a": "1", "b": "2"})
	one.quietly("notes")
	two.quietly("notes")
	a.wantDatasets(t, alice, "notes")
	one.call(nil, "removeDataset", "notes")
	a.wantDatasets(t, alice)
	if told := two.sync("notes"); !slices.Equal(told.Deleted, []string{"notes"}) {
		t.Errorf("told that %q are deleted", told.Deleted)
	}
	a.wantHeld(t, alice, "notes", 2, values{}, one, two) // the deletion counts
	two.put("notes", values{"c": "3"})
	two.quietly("notes")
	one.quietly("notes")
	a.wantDatasets(t, alice, "notes")
	a.wantHeld(t, alice, "notes", 3, values{"c": "3"}, one, two)
}

// mergeInBrowsers: a guest becomes a user and keeps identity and data. When
// another browser's guest becomes the same user, the data of both are there.
func mergeInBrowsers(t *testing.T, a *webApp) {
	one := a.browser(t)
	first := one.guest()
	one.offline(true)
	want := values{"a": "one", "color": "blue"}
	one.put("notes", want)
	one.cutOff("notes")
	one.offline(false)
	one.quietly("notes")
	if carol := one.signIn("carol"); carol != first {
		t.Fatalf("the guest %s becomes %s", first, carol)
	}
	one.quietly("notes")
	a.wantHeld(t, first, "notes", 1, want, one)

	two := a.browser(t)
	second := two.guest()
	if second == first {
		t.Fatal("two guests are one")
	}
	two.put("notes", values{"b": "two", "color": "green"})
	two.quietly("notes")
	if carol := two.signIn("carol"); carol != first {
		t.Fatalf("the second guest becomes %s, not %s", carol, first)
	}
	merged := "notes." + second
	a.wantDatasets(t, first, "notes", merged)
	a.wantHeld(t, first, merged, 1, values{"b": "two", "color": "green"})
	if told := two.sync("notes"); !slices.Equal(told.Merged, []string{merged}) || len(told.Conflicts) > 0 {
		t.Errorf("told of %+v, want the merged %q", told, merged)
	}
	one.quietly("notes")
	two.quietly("notes")
	want["b"] = "two"
	a.wantHeld(t, first, "notes", 2, want, one, two)
	a.wantDatasets(t, first, "notes")
}

// signOutInBrowser: nothing of a user is seen or sent when she has signed out,
// neither by the next user nor by a guest.
func signOutInBrowser(t *testing.T, a *webApp) {
	b := a.browser(t)
	alice := b.signIn("alice")
	b.put("notes", values{"diary": "a-secret"})
	b.quietly("notes")
	b.put("notes", values{"draft": "a-draft"})
	b.call(nil, "signOut")
	b.requests()

	bob := b.signIn("bob")
	b.quietly("notes")
	a.wantHeld(t, bob, "notes", 0, values{}, b)
	b.put("notes", values{"diary": "bob"})
	b.quietly("notes")
	a.wantHeld(t, bob, "notes", 1, values{"diary": "bob"}, b)
	b.call(nil, "signOut")
	guest := b.guest()
	b.quietly("notes")
	a.wantHeld(t, guest, "notes", 0, values{}, b)
	if alice == bob || guest == alice || guest == bob {
		t.Errorf("alice is %s, bob %s, the guest %s", alice, bob, guest)
	}
	var kept string
	b.call(&kept, "storage")
	_, uuid, _ := strings.Cut(alice, ":")
	for _, text := range append(b.requests(), kept) {
		for _, hers := range []string{uuid, "a-secret", "a-draft"} {
			if strings.Contains(text, hers) {
				t.Errorf("%s of alice is in %s", hers, clip(text))
			}
		}
	}
	a.wantHeld(t, alice, "notes", 1, values{"diary": "a-secret"})
}

// faultsInBrowser: a page reads the code and the message of what is refused.
func faultsInBrowser(t *testing.T, a *webApp) {
	b := a.browser(t)
	guest := b.guest()
	b.put("notes", values{"k": "v"})
	b.quietly("notes")
	user := a.dev.newGuest(t, a.pool).identity
	a.dev.call(t, identityService, "GetOpenIdTokenForDeveloperIdentity", object{"IdentityPoolId": a.pool, "IdentityId": user, "Logins": object{developerProvider: "alice"}}, nil)
	set := func(name string, more object) object {
		in := object{"IdentityPoolId": a.pool, "IdentityId": guest, "DatasetName": name}
		maps.Copy(in, more)
		return in
	}
	token := a.dev.list(t, dataset{a.pool, guest, "notes"}).SyncSessionToken
	stale := object{"SyncSessionToken": token, "RecordPatches": []patch{replace("k", "w", 0)}}
	for _, c := range []struct {
		service, operation string
		in                 object
		code, message      string
		status             int
	}{
		{"CognitoIdentity", "getCredentialsForIdentity", object{"IdentityId": user}, "NotAuthorizedException", "Access to Identity '" + user + "' is forbidden.", http.StatusBadRequest},
		{"CognitoSync", "describeDataset", set("none", nil), "ResourceNotFoundException", "none", http.StatusNotFound},
		{"CognitoSync", "updateRecords", set("notes", stale), "ResourceConflictException", "Current SyncCount for: k is: 1 not: 0", http.StatusConflict},
	} {
		var have struct {
			Code, Message, Request string
			Status                 int
		}
		b.call(&have, "ask", c.service, c.operation, c.in)
		if have.Code != c.code || !strings.Contains(have.Message, c.message) || have.Status != c.status || have.Request == "" {
			t.Errorf("%s: the page sees %+v, want %s with %q and status %d", c.operation, have, c.code, c.message, c.status)
		}
		b.takeErrors(fmt.Sprintf("the server responded with a status of %d", c.status))
	}
}

// TestBrowserOrigins: of the origins that the server names the pages work, and
// others are kept out by the browser.
func TestBrowserOrigins(t *testing.T) {
	t.Parallel()
	a, stranger := newWebApp(t), newWebApp(t)
	s := newServer(t, "--cors-origins", a.url)
	s.start()
	a.use(s)
	stranger.use(s)
	b := a.browser(t)
	id := b.guest()
	b.put("notes", values{"k": "v"})
	b.quietly("notes")
	a.wantHeld(t, id, "notes", 1, values{"k": "v"}, b)
	b.load(stranger)
	if err := b.attempt(nil, "guest"); err == nil || !strings.Contains(err.Error(), "Network Failure") {
		t.Errorf("a page of another origin: %v", err)
	}
	b.takeErrors("blocked by CORS policy")
	b.takeErrors("net::ERR_FAILED")
}
