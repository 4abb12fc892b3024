package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestMobileClients replays what the archived sync clients of Android and iOS
// send, and looks at what they read of the answers: flows of whole
// synchronizations, in testdata/android and testdata/ios. Each flow has an
// identity of its own.
func TestMobileClients(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--warehouse", "none")
	dev := s.developer()
	var pool struct{ IdentityPoolId string }
	dev.call(t, identityService, "CreateIdentityPool", object{
		"IdentityPoolName": "phones", "AllowUnauthenticatedIdentities": true, "DeveloperProviderName": developerProvider}, &pool)
	stranger := dev.newGuest(t, pool.IdentityPoolId)
	for _, name := range []string{"android", "ios"} {
		client := readMobileClient(t, name)
		files, err := filepath.Glob(filepath.Join("testdata", name, "*.http"))
		if err != nil || len(files) < 8 {
			t.Fatalf("%d flows of %s, %v", len(files), name, err)
		}
		for _, file := range files {
			flow := readFlow(t, file)
			t.Run(name+"/"+strings.TrimSuffix(filepath.Base(file), ".http"), func(t *testing.T) {
				t.Parallel()
				p := newPhone(t, s.url, client, flowVariables(t, dev, stranger, file))
				if filepath.Base(file) != firstFlow {
					p.play(readFlow(t, filepath.Join("testdata", name, firstFlow)))
				}
				p.play(flow)
			})
		}
	}
}

// firstFlow is how a client comes to its credentials, which it does before any
// other flow.
const firstFlow = "identity.http"

// flowVariables are the placeholders that stand for something before a flow
// begins. Ids are without their region, so that a fixture shows how the colon
// behind it is sent.
func flowVariables(t *testing.T, dev *caller, stranger guest, file string) map[string]string {
	t.Helper()
	var user struct{ Token string } // as the app's backend signs him in
	dev.call(t, identityService, "GetOpenIdTokenForDeveloperIdentity", object{
		"IdentityPoolId": stranger.pool, "Logins": object{developerProvider: file}}, &user)
	return map[string]string{
		"pool":     strings.TrimPrefix(stranger.pool, region+":"),
		"stranger": strings.TrimPrefix(stranger.identity, region+":"),
		"login":    user.Token,
		"patches":  manyPatches(1024),
	}
}

// manyPatches are patches of new records, with the members that both clients send.
func manyPatches(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(`{"Op":"replace","Key":"key-%04d","Value":"v","SyncCount":0}`, i)
	}
	return strings.Join(all, ",")
}

// play sends a flow's requests and looks at the answers.
func (p *phone) play(flow []mobileExchange) {
	p.t.Helper()
	for i := range flow {
		x := &flow[i]
		a := p.send(x)
		if a.status != x.status {
			p.t.Fatalf("%s %s: status %d, want %d: %s", x.place, x.title, a.status, x.status, clip(string(a.body)))
		}
		p.read(x, a)
		if p.t.Failed() {
			p.t.Fatalf("%s %s: %s", x.place, x.title, clip(string(a.body)))
		}
	}
}
