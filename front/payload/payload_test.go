package payload_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tributary"
	"tributary/awswire"
	"tributary/front/payload"
	"tributary/internal/enginetest"
	"tributary/streamrec"
)

const (
	account = "123456789012"
	pool    = tributary.PoolID("eu-west-1:00000000-0000-4000-8000-00000000000a")
	ann     = tributary.IdentityID("eu-west-1:11111111-1111-4111-8111-111111111111")
)

// TestMain runs the tests on one engine or the other.
func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// kit is a handler over a store that has one entry.
type kit struct {
	*testing.T
	at      atomic.Int64 // the time, in milliseconds
	store   tributary.Store
	svc     *tributary.Service
	handler *payload.Handler
	links   *payload.Links
	shard   tributary.Shard
	pos     tributary.Position
}

func newKit(t *testing.T) *kit {
	k := &kit{T: t}
	k.at.Store(1_790_000_000_000)
	k.store = enginetest.Open(t, enginetest.Config{Now: k.now})
	sealer := k.sealer(7)
	k.svc = &tributary.Service{Store: k.store, Sealer: sealer, Account: account, Now: k.now}
	k.handler = &payload.Handler{Log: k.store, Sealer: sealer, Now: k.now}
	k.links = k.linksOf(sealer, "https://sync.example.com")
	k.write()
	return k
}

// write makes a stream, and one entry of it.
func (k *kit) write() {
	ctx := k.Context()
	st, err := k.svc.CreateStream(ctx, k.dev(), "s", 1, 0)
	k.ok(err)
	_, err = k.svc.CreatePool(ctx, k.dev(), tributary.Pool{ID: pool, Name: "p"})
	k.ok(err)
	_, err = k.svc.ChangePool(ctx, k.dev(), pool, func(p *tributary.Pool) error { return k.svc.SetStream(ctx, p, "s", "", true) })
	k.ok(err)
	_, err = k.svc.CreateIdentity(ctx, k.dev(), tributary.Identity{ID: ann, Pool: pool})
	k.ok(err)
	key := tributary.DatasetKey{Pool: pool, Identity: ann, Dataset: "d"}
	list, err := k.svc.ListRecords(ctx, k.dev(), key, tributary.ListQuery{})
	k.ok(err)
	_, err = k.svc.UpdateRecords(ctx, k.dev(), key, tributary.Update{SessionToken: list.SessionToken, Patches: []tributary.Patch{
		{Key: "large", Value: strings.Repeat("né\n", 50<<10)}, {Key: "gone", Remove: true},
	}})
	k.ok(err)
	k.shard = tributary.Shard{Stream: st.ID}
	k.pos = tributary.PositionOf(k.shard, 1)
}

// linksOf makes links for a public URL.
func (k *kit) linksOf(sealer *tributary.Sealer, public string) *payload.Links {
	return &payload.Links{Sealer: sealer, PublicURL: public, Region: "eu-west-1", Now: k.now}
}

// secret is the key of the links.
func (k *kit) secret() string {
	key, err := k.sealer(7).Key("payload links", nil)
	k.ok(err)
	return hex.EncodeToString(key)
}

func (k *kit) now() time.Time           { return time.UnixMilli(k.at.Load()) }
func (k *kit) move(by time.Duration)    { k.at.Add(by.Milliseconds()) }
func (k *kit) dev() tributary.Principal { return tributary.Principal{Account: account} }

func (k *kit) ok(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

func (k *kit) sealer(b byte) *tributary.Sealer {
	s, err := tributary.NewSealer(bytes.Repeat([]byte{b}, tributary.MasterKeyLength))
	k.ok(err)
	return s
}

// ask sends a request as a client would send it to a URL.
func (k *kit) ask(method, link string) *httptest.ResponseRecorder {
	k.Helper()
	u, err := url.Parse(link)
	k.ok(err)
	r := httptest.NewRequestWithContext(k.Context(), method, u.RequestURI(), nil)
	r.Host = u.Host
	w := httptest.NewRecorder()
	k.handler.ServeHTTP(w, r)
	return w
}

// refused asks for a link that is not answered.
func (k *kit) refused(name, method, link string, status int, code, text string) {
	k.Helper()
	w := k.ask(method, link)
	var out struct {
		XMLName       xml.Name `xml:"Error"`
		Code, Message string
	}
	k.ok(xml.Unmarshal(w.Body.Bytes(), &out))
	if w.Code != status || out.Code != code || !strings.Contains(out.Message, text) || w.Header().Get("Content-Type") != "application/xml" {
		k.Errorf("%s: %d %s", name, w.Code, w.Body)
	}
}

func TestLink(t *testing.T) {
	k := newKit(t)
	var observed []string
	k.handler.Observe = func(service, op string, status int, _ time.Duration) {
		observed = append(observed, fmt.Sprint(service, " ", op, " ", status))
	}
	link := k.links.Link(k.shard, k.pos, time.Hour)
	if want := fmt.Sprintf("https://sync.example.com/_tributary/payload/%d/0/%s?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=TRIBUTARYPAYLOAD%%2F20260921%%2Feu-west-1%%2Ftributary%%2Faws4_request&X-Amz-Date=20260921T141320Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature=", k.shard.Stream, k.pos); !strings.HasPrefix(link, want) {
		t.Fatalf("%s, want %s", link, want)
	}
	entries, err := k.store.Read(t.Context(), k.shard, "", 1)
	k.ok(err)
	w := k.ask(http.MethodGet, link)
	got, err := streamrec.DecodeRecords(w.Body.Bytes())
	for i := range got { // what a stream record does not say
		got[i].LastModifiedBy = account
	}
	if err != nil || w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" || !reflect.DeepEqual(got, entries[0].Change.Records) {
		t.Errorf("%d %s, %d records, %v", w.Code, w.Header().Get("Content-Type"), len(got), err)
	}
	head := k.ask(http.MethodHead, link)
	if head.Code != http.StatusOK || head.Body.Len() != 0 || head.Header().Get("Content-Length") != fmt.Sprint(w.Body.Len()) {
		t.Errorf("HEAD: %d, %d bytes, %v", head.Code, head.Body.Len(), head.Header())
	}
	k.refused("POST", http.MethodPost, link, http.StatusMethodNotAllowed, "MethodNotAllowed", "")
	if len(observed) != 3 || observed[0] != "tributary GetPayload 200" || observed[2] != "tributary GetPayload 405" {
		t.Errorf("%v", observed)
	}
	k.move(time.Hour)
	if w := k.ask(http.MethodGet, link); w.Code != http.StatusOK {
		t.Errorf("at its last moment: %d %s", w.Code, w.Body)
	}
	k.move(time.Second)
	k.refused("expired", http.MethodGet, link, http.StatusForbidden, "AccessDenied", "Signature expired")
}

func TestForged(t *testing.T) {
	k := newKit(t)
	link := k.links.Link(k.shard, k.pos, time.Hour)
	path, query, _ := strings.Cut(link, "?")
	stranger := k.linksOf(k.sealer(8), "https://sync.example.com")
	// All but one are signed with the right key: each is refused for what is
	// wrong with it alone.
	presign := func(secret, id, token, service string) string {
		r, err := http.NewRequest(http.MethodGet, path, nil)
		k.ok(err)
		return awswire.Presign(r, awswire.Credentials{AccessKeyID: id, SecretKey: secret, SessionToken: token}, "eu-west-1", service, k.now(), time.Hour)
	}
	if w := k.ask(http.MethodGet, presign(k.secret(), "TRIBUTARYPAYLOAD", "", "tributary")); w.Code != http.StatusOK {
		t.Fatalf("our own: %d %s", w.Code, w.Body)
	}
	for name, bad := range map[string]string{
		"unsigned":        path,
		"another entry":   strings.Replace(path, string(k.pos), string(tributary.PositionOf(k.shard, 2)), 1) + "?" + query,
		"another host":    strings.Replace(link, "sync.example.com", "sync.example.org", 1),
		"longer":          strings.Replace(link, "X-Amz-Expires=3600", "X-Amz-Expires=7200", 1),
		"cut":             link[:len(link)-1],
		"another master":  stranger.Link(k.shard, k.pos, time.Hour),
		"another key":     presign(k.secret(), "AKIADEVELOPER", "", "tributary"),
		"no secret":       presign("", "TRIBUTARYPAYLOAD", "", "tributary"),
		"with a token":    presign(k.secret(), "TRIBUTARYPAYLOAD", "token", "tributary"),
		"another service": presign(k.secret(), "TRIBUTARYPAYLOAD", "", "s3"),
	} {
		k.refused(name, http.MethodGet, bad, http.StatusForbidden, "AccessDenied", "")
	}
	if w := k.ask(http.MethodGet, k.links.Link(k.shard, k.pos, time.Hour)+"&more=1"); w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), "Canonical") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestMissing has links, all of them signed by us, to what is not there.
func TestMissing(t *testing.T) {
	k := newKit(t)
	_, err := k.store.Append(t.Context(), k.shard.Stream, []tributary.Entry{{Kind: tributary.EntryForeign, Foreign: &tributary.ForeignRecord{PartitionKey: "k"}}})
	k.ok(err)
	good := k.links.Link(k.shard, k.pos, time.Hour)
	elsewhere := tributary.Shard{Stream: k.shard.Stream + 1}
	for name, link := range map[string]string{
		"to come":      k.links.Link(k.shard, tributary.PositionOf(k.shard, 99), time.Hour),
		"none":         k.links.Link(k.shard, tributary.PositionOf(k.shard, 0), time.Hour),
		"foreign":      k.links.Link(k.shard, tributary.PositionOf(k.shard, 2), time.Hour),
		"stream":       k.links.Link(elsewhere, tributary.PositionOf(elsewhere, 1), time.Hour),
		"other shard":  k.links.Link(elsewhere, k.pos, time.Hour),
		"no position":  k.links.Link(k.shard, "x", time.Hour),
		"another path": k.links.Link(k.shard, "a/b", time.Hour),
	} {
		k.refused(name, http.MethodGet, link, http.StatusNotFound, "NoSuchKey", "")
	}
	k.ok(k.store.Trim(t.Context(), k.shard, k.pos))
	k.refused("trimmed", http.MethodGet, good, http.StatusNotFound, "NoSuchKey", "")
	k.ok(k.svc.DeleteStream(t.Context(), k.dev(), "s"))
	k.refused("deleted", http.MethodGet, good, http.StatusNotFound, "NoSuchKey", "")
}

func TestBroken(t *testing.T) {
	k := newKit(t)
	link := k.links.Link(k.shard, k.pos, time.Hour)
	closed := enginetest.Open(t, enginetest.Config{})
	k.ok(closed.Close())
	k.handler.Log = closed
	k.refused("closed", http.MethodGet, link, http.StatusServiceUnavailable, "ServiceUnavailable", "")
	var out bytes.Buffer
	k.handler.Log, k.handler.Logger = damaged{closed}, slog.New(slog.NewTextHandler(&out, nil))
	k.refused("damaged", http.MethodGet, link, http.StatusInternalServerError, "InternalError", "")
	if !strings.Contains(out.String(), string(k.pos)) {
		t.Errorf("logged: %s", &out)
	}
}

// damaged is a log whose entries cannot be read.
type damaged struct{ tributary.Log }

func (damaged) Read(context.Context, tributary.Shard, tributary.Position, int) ([]tributary.Entry, error) {
	return nil, errors.New("checksum mismatch")
}

// TestKeyForLinksOnly signs other requests with the key of the links.
func TestKeyForLinksOnly(t *testing.T) {
	k := newKit(t)
	c := awswire.Credentials{AccessKeyID: "TRIBUTARYPAYLOAD", SecretKey: k.secret()}
	path, _, _ := strings.Cut(k.links.Link(k.shard, k.pos, time.Hour), "?")
	request := func() *http.Request {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		r.RequestURI = r.URL.RequestURI()
		return r
	}
	own := awswire.Presign(request(), c, "any-region", "tributary", k.now(), time.Hour)
	if w := k.ask(http.MethodGet, own); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	const text = "not signed for this service"
	k.refused("another service", http.MethodGet, awswire.Presign(request(), c, "eu-west-1", "s3", k.now(), time.Hour), http.StatusForbidden, "AccessDenied", text)
	r := request()
	awswire.Sign(r, nil, c, "eu-west-1", "tributary", k.now())
	w := httptest.NewRecorder()
	k.handler.ServeHTTP(w, r)
	if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), text) {
		t.Errorf("signed in its header: %d %s", w.Code, w.Body)
	}
}

// TestPublicURL has links fetched by a real client.
func TestPublicURL(t *testing.T) {
	k := newKit(t)
	server := httptest.NewServer(k.handler)
	t.Cleanup(server.Close)
	for _, base := range []string{server.URL, server.URL + "/", server.URL + "/console?x"} {
		res, err := http.Get(k.linksOf(k.sealer(7), base).Link(k.shard, k.pos, time.Hour))
		k.ok(err)
		body, err := io.ReadAll(res.Body)
		k.ok(err)
		k.ok(res.Body.Close())
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", base, res.StatusCode, body)
		}
	}
	for base, want := range map[string]string{
		"https://h:443": "https://h/", "http://h:80": "http://h/", "https://h:80": "https://h:80/", "http://[::1]:8080": "http://[::1]:8080/",
	} {
		link := k.linksOf(k.sealer(7), base).Link(k.shard, k.pos, time.Hour)
		if w := k.ask(http.MethodGet, link); !strings.HasPrefix(link, want) || w.Code != http.StatusOK {
			t.Errorf("%s: %s, %d", base, link, w.Code)
		}
	}
	for _, bad := range []string{"", "sync.example.com", "https://%"} {
		if link := k.linksOf(k.sealer(7), bad).Link(k.shard, k.pos, time.Hour); link != "" {
			t.Errorf("%s: %s", bad, link)
		}
	}
	plain := payload.Links{Sealer: k.sealer(7), PublicURL: "https://h"}
	if link := plain.Link(k.shard, k.pos, time.Hour); !strings.Contains(link, "us-east-1") {
		t.Error(link)
	}
}
