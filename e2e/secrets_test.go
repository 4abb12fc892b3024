package e2e

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go/aws/signer/v4"
)

// secretive is a server at its most talkative, and what it must not tell.
type secretive struct {
	*testing.T
	s       *server
	dev     *caller
	g       guest
	d       dataset
	secrets map[string]string
}

// TestSecretsStayInside uses keys, credentials, tokens and links of every kind,
// rightly and wrongly, and then looks for them in all that the server printed,
// logged and measured, and in its files.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--log-level", "debug", "--stream-inline-limit", "1KiB")
	dev, key := s.developer(), s.key()
	x := &secretive{T: t, s: s, dev: dev, g: dev.newGuest(t, dev.newPool(t, "secrets")), secrets: map[string]string{"developer's key": key.secret}}
	x.d = x.g.dataset("notes")
	master, err := os.ReadFile(filepath.Join(s.data, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	x.secrets["master key"] = strings.TrimSpace(string(master))
	x.use()
	x.payload()
	x.misuse()
	x.garble()
	x.checkMetrics()
	s.awaitGreeting()
	greeting := s.stdout.String()
	if n := strings.Count(greeting, key.secret); n != 1 {
		t.Errorf("the first start shows the developer's key %d times", n)
	}
	x.check("the greeting", strings.Replace(greeting, "  secret access key  "+key.secret+"\n", "", 1))
	s.restart()
	x.dev.url, x.g.url = s.url, s.url
	x.use()
	s.stop()
	x.check("the second greeting", s.stdout.String())
	for _, log := range s.logs {
		x.check("the log", log.String())
	}
	x.checkFiles()
}

// keep remembers a secret, whose name is made unique.
func (x *secretive) keep(name, secret string) {
	if len(secret) < 24 {
		x.Fatalf("%s is no secret: %q", name, secret)
	}
	x.secrets[fmt.Sprintf("%s %d", name, len(x.secrets))] = secret
}

// send sends a request, whose signature is a secret too while it is good.
func (x *secretive) send(r *http.Request) answer {
	x.Helper()
	if _, signature, ok := strings.Cut(r.Header.Get("Authorization"), "Signature="); ok {
		x.keep("signature", signature)
	}
	a, err := x.dev.send(r)
	if err != nil {
		x.Fatal(err)
	}
	return a
}

func (x *secretive) request(as *caller, method, path string, body []byte) *http.Request {
	x.Helper()
	r, err := as.request(syncService, method, path, body)
	if err != nil {
		x.Fatal(err)
	}
	return r
}

// use does what apps do.
func (x *secretive) use() {
	x.g = x.renewed()
	x.keep("guest's key", x.g.secret)
	x.keep("guest's token", x.g.token)
	list := x.g.list(x.T, x.d)
	x.keep("session token", list.SyncSessionToken)
	body := encode(x.T, update{list.SyncSessionToken, []patch{replace("large", strings.Repeat("x", 2<<10), int64(list.DatasetSyncCount))}})
	if a := x.send(x.request(x.g.caller, "POST", x.d.path(), body)); a.status != 200 {
		x.Fatalf("%d %s", a.status, a.body)
	}
	if a := x.send(x.link(time.Now())); a.status != 200 {
		x.Errorf("a presigned list: %d %s", a.status, a.body)
	}
	x.s.query("SELECT count(*) FROM cognito_raw_data")
}

// renewed gives the guest new credentials.
func (x *secretive) renewed() guest {
	g := x.g
	var out struct {
		Credentials struct{ AccessKeyId, SecretKey, SessionToken string }
	}
	x.dev.call(x.T, identityService, "GetCredentialsForIdentity", object{"IdentityId": g.identity}, &out)
	g.id, g.secret, g.token = out.Credentials.AccessKeyId, out.Credentials.SecretKey, out.Credentials.SessionToken
	g.caller = newCaller(x.s.url, g.id, g.secret, g.token)
	return g
}

// link presigns a list.
func (x *secretive) link(at time.Time) *http.Request {
	x.Helper()
	r, err := http.NewRequest("GET", x.s.url+x.d.path()+"/records", nil)
	if err != nil {
		x.Fatal(err)
	}
	if _, err := v4.NewSigner(x.g.creds).Presign(r, nil, syncService, region, time.Minute, at); err != nil {
		x.Fatal(err)
	}
	x.keep("presigned signature", r.URL.Query().Get("X-Amz-Signature"))
	return r
}

// payload follows a link of the stream, and one like it.
func (x *secretive) payload() {
	x.dev.newStream(x.T, x.g.pool, "secrets", 1)
	x.g.sync(x.T, x.g.dataset("more"), replace("large", strings.Repeat("x", 2<<10), 0))
	events := x.dev.readStream(x.T, "secrets")
	link, err := url.Parse(events[len(events)-1].KinesisSyncRecordsURL)
	if err != nil || link.Query().Get("X-Amz-Signature") == "" {
		x.Fatalf("%v in %v", err, events)
	}
	x.keep("payload's signature", link.Query().Get("X-Amz-Signature"))
	for _, end := range []string{"", "0"} {
		a, err := http.Get(link.String() + end)
		if err != nil {
			x.Fatal(err)
		}
		if _ = a.Body.Close(); (a.StatusCode == 200) != (end == "") {
			x.Errorf("the link and %q: status %d", end, a.StatusCode)
		}
	}
}

// misuse sends what is refused: everything secret is in the wrong place once.
func (x *secretive) misuse() {
	session := x.g.list(x.T, x.d).SyncSessionToken
	x.keep("session token", session)
	good := func() *http.Request {
		return x.request(x.g.caller, "POST", x.d.path(), encode(x.T, update{session, []patch{replace("k", "v", 0)}}))
	}
	key := x.s.key()
	for name, edit := range map[string]func(*http.Request) *http.Request{
		"BrokenBody": func(*http.Request) *http.Request {
			return x.request(x.g.caller, "POST", x.d.path(), []byte(`{"SyncSessionToken":"`+session+`","RecordPatches":7}`))
		},
		"UnknownMember": func(*http.Request) *http.Request {
			return x.request(x.g.caller, "POST", x.d.path(), []byte(`{"`+session+`":7,"`+x.g.secret+`":"`+x.g.token+`","a":1,"a":2}`))
		},
		"AnotherDataset": func(*http.Request) *http.Request {
			return x.request(x.g.caller, "POST", x.g.dataset("other").path(), encode(x.T, update{session, []patch{replace("k", "v", 0)}}))
		},
		"Conflict": func(*http.Request) *http.Request {
			return x.request(x.g.caller, "POST", x.d.path(), encode(x.T, update{session, []patch{replace("large", "v", 77)}}))
		},
		"SecretAsKey": func(*http.Request) *http.Request {
			return x.request(newCaller(x.s.url, key.secret, key.secret, ""), "GET", x.d.path(), nil)
		},
		"TokenAsSecret": func(*http.Request) *http.Request {
			return x.request(newCaller(x.s.url, x.g.id, x.g.token, x.g.token+"x"), "GET", x.d.path(), nil)
		},
		"DevelopersToken": func(*http.Request) *http.Request {
			return x.request(newCaller(x.s.url, key.id, key.secret, x.g.token), "GET", x.d.path(), nil)
		},
		"InPath": func(*http.Request) *http.Request {
			return x.request(x.g.caller, "GET", "/identitypools/"+url.PathEscape(x.g.secret)+"/identities/"+url.PathEscape(x.g.token), nil)
		},
		"InQuery": func(*http.Request) *http.Request {
			return x.request(x.g.caller, "GET", x.d.path()+"/records?lastSyncCount="+url.QueryEscape(key.secret)+"&nextToken="+url.QueryEscape(session), nil)
		},
		"Bearer":      func(r *http.Request) *http.Request { r.Header.Set("Authorization", "Bearer "+key.secret); return r },
		"Basic":       func(r *http.Request) *http.Request { r.SetBasicAuth(key.id, key.secret); return r },
		"Target":      func(r *http.Request) *http.Request { r.Header.Set("X-Amz-Target", x.g.token); return r },
		"Date":        func(r *http.Request) *http.Request { r.Header.Set("X-Amz-Date", key.secret); return r },
		"ContentType": func(r *http.Request) *http.Request { r.Header.Set("Content-Type", x.g.secret); return r },
		"Host":        func(r *http.Request) *http.Request { r.Host = strings.ToLower(x.g.id); return r },
		"Twice":       func(r *http.Request) *http.Request { r.Header.Add("X-Amz-Security-Token", x.g.token); return r },
		"Expired":     func(*http.Request) *http.Request { return x.link(time.Now().Add(-time.Hour)) },
		"OtherMethod": func(*http.Request) *http.Request { r := x.link(time.Now()); r.Method = "DELETE"; return r },
		"Own": func(*http.Request) *http.Request {
			r := x.request(x.g.caller, "POST", "/_tributary/v1/query", []byte(`{"SQL":"`+session+`"`))
			return r
		},
	} {
		r := edit(good())
		if a := x.send(r); a.status < 400 || a.status >= 500 {
			x.Errorf("%s: status %d: %s", name, a.status, clip(string(a.body)))
		}
	}
	login := "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJub2JvZHkiLCJuYW1lIjoic29tZWJvZHkifQ.c2lnbmF0dXJlLW9mLW5vYm9keQ"
	x.keep("login", login)
	for _, body := range []string{
		`{"IdentityPoolId":"` + x.g.pool + `","Logins":{"accounts.google.com":"` + login + `"}}`,
		`{"IdentityPoolId":"` + x.g.pool + `","Logins":{"` + login + `":"` + login + `"}}`,
		`{"IdentityPoolId":"` + x.g.pool + `","Logins":"` + login + `"}`,
		`{"IdentityPoolId":"` + login + `"}`,
	} {
		if a, err := x.dev.rpc(identityService, "GetId", []byte(body)); err != nil || a.status != 400 {
			x.Errorf("%v, status %d for %s", err, a.status, body)
		}
	}
	for _, operation := range []string{"GetRecords", x.g.token} {
		if a, err := x.dev.rpc(kinesisService, operation, []byte(`{"ShardIterator":"`+session+`"}`)); err != nil || a.status != 400 {
			x.Errorf("%s: %v, status %d", operation, err, a.status)
		}
	}
}

// garble sends secrets in what is no HTTP.
func (x *secretive) garble() {
	w := &wrong{T: x.T, s: x.s}
	for _, text := range []string{
		"GET /" + x.g.token + "\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nX Amz: " + x.g.token + "\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nX-Amz-Security-Token: " + x.g.token + "\x00\r\n\r\n",
		x.g.token + " / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /%zz" + x.g.token + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + x.g.token + "\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + x.g.token + "\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + x.g.token,
		"\x16\x03\x01\x02\x00" + x.g.token + "\r\n\r\n",
	} {
		c, err := w.dial()
		if err != nil {
			x.Fatal(err)
		}
		_, _ = io.WriteString(c, text)
		_ = c.CloseWrite()
		_, _ = io.Copy(io.Discard, c) // until the server has had enough
		_ = c.Close()
	}
	x.s.healthy()
}

// check looks for the secrets in a text: whole, and so much of each that the
// rest could be guessed.
func (x *secretive) check(where, text string) {
	x.Helper()
	const part = 24
	for name, secret := range x.secrets {
		middle := secret[(len(secret)-part)/2:][:part]
		for _, form := range []string{secret, middle, secret[len(secret)-part:], url.QueryEscape(middle), url.PathEscape(middle)} {
			if at := strings.Index(text, form); at >= 0 {
				x.Errorf("%s holds the %s: ...%q", where, name, text[max(0, at-100):min(len(text), at+100)])
				break
			}
		}
	}
}

func (x *secretive) checkMetrics() {
	a, err := http.Get(x.s.url + "/metrics")
	if err != nil {
		x.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	text, err := io.ReadAll(a.Body)
	if err != nil || !bytes.Contains(text, []byte("tributary_request_seconds")) {
		x.Fatalf("%v: %s", err, clip(string(text)))
	}
	x.check("a metric", string(text))
}

// checkFiles looks into all files but the two that are there for secrets.
func (x *secretive) checkFiles() {
	seen, least := 0, 3
	if onPostgres() {
		least = 1 // the warehouse's file alone
	}
	err := filepath.WalkDir(x.s.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "credentials" || d.Name() == "master.key" {
			return err
		}
		text, err := os.ReadFile(path)
		seen++
		x.check(path, string(text))
		return err
	})
	if err != nil || seen < least {
		x.Errorf("%d files, %v", seen, err)
	}
}

// TestPasswordStaysInside: the password of a database that does not answer is
// not in what is said of it.
func TestPasswordStaysInside(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, place := range []string{"127.0.0.1:1/tributary?connect_timeout=2", "127.0.0.1:x/tributary", "127.0.0.1:1/tributary?sslmode=nonsense"} {
		s.env = append(environment(t), "TRIBUTARY_STORE=postgres://tributary:a-password-of-nobody@"+place)
		r := s.run("serve", "--listen", "127.0.0.1:0", "--data", s.data, "--log-level", "debug")
		if r.code == 0 || strings.Contains(r.stdout+r.stderr, "a-password-of-nobody") {
			t.Errorf("%s: %v", place, r)
		}
	}
}
