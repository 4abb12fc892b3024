package trigger_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	gosync "sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"tributary"
	"tributary/trigger"
)

// key is what signs.
func key(pool tributary.PoolID, address string) ([]byte, error) {
	sum := sha256.Sum256([]byte(string(pool) + address))
	return sum[:], nil
}

// kit is a caller, and a server for what it calls.
type kit struct {
	*testing.T
	caller *trigger.Caller
	server *httptest.Server
	log    bytes.Buffer
	seen   []string // kind and outcome of calls
	clock  time.Time
}

// newKit makes a webhook, over TLS.
func newKit(t *testing.T, h http.HandlerFunc) *kit {
	t.Helper()
	k := &kit{T: t, clock: time.Unix(1_790_000_000, 0)}
	k.server = httptest.NewUnstartedServer(h)
	k.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	k.server.StartTLS()
	t.Cleanup(k.server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(k.server.Certificate())
	now := func() time.Time { return k.clock }
	k.caller = &trigger.Caller{
		Webhook: trigger.Webhook{Key: key, TLS: &tls.Config{RootCAs: roots}, Now: now}, Now: now,
		Log:     slog.New(slog.NewTextHandler(&k.log, nil)),
		Observe: func(kind, outcome string, _ time.Duration) { k.seen = append(k.seen, kind+" "+outcome) },
	}
	return k
}

// withLambda has the kit's server called as AWS Lambda.
func (k *kit) withLambda() *kit {
	cfg := aws.Config{Region: "us-east-1", Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIA", SecretAccessKey: "secret"}, nil
	})}
	plain := httptest.NewServer(k.server.Config.Handler)
	k.Cleanup(plain.Close)
	k.caller.Lambda = trigger.NewLambda(cfg, plain.URL)
	return k
}

const function = "arn:aws:lambda:eu-west-1:123456789012:function:sync:live"

// fails wants an error of a call, in the client's words.
func (k *kit) fails(err error, text string, cause error) {
	k.Helper()
	if tributary.KindOf(err) != tributary.Trigger || !strings.Contains(tributary.Message(err), text) || cause != nil && !errors.Is(err, cause) {
		k.Errorf("the error is %v, want a trigger's: %q", err, text)
	}
}

// TestWebhook: what is sent, how it is signed, and what comes of the answer.
func TestWebhook(t *testing.T) {
	var got *http.Request
	var body []byte
	k := newKit(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"datasetRecords":{"b":{"op":"remove"},"a":{"newValue":"1"}}}`)
	})
	address := k.server.URL + "/hook?x=1"
	records, err := k.caller.BeforeSync(t.Context(), address, sync())
	if err != nil || !slices.Equal(show(records), []string{"a=1 replace", "b=null remove"}) {
		t.Fatalf("%v, %q", err, show(records))
	}
	if got.Method != "POST" || got.RequestURI != "/hook?x=1" || string(body) != golden || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %s %v: %s", got.Method, got.RequestURI, got.Header, body)
	}
	secret, _ := key(pool, address)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(got.Header.Get("webhook-id") + ".1790000000." + golden))
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); got.Header.Get("webhook-signature") != want || got.Header.Get("webhook-timestamp") != "1790000000" {
		t.Errorf("signed %v, want %s", got.Header, want)
	}
	first := got.Header.Get("webhook-id")
	if _, err := k.caller.BeforeSync(t.Context(), address, sync()); err != nil || got.Header.Get("webhook-id") == first || !strings.HasPrefix(first, "msg_") {
		t.Errorf("%v: ids %s and %s", err, first, got.Header.Get("webhook-id"))
	}
	if !slices.Equal(k.seen, []string{"webhook ok", "webhook ok"}) || k.log.Len() > 0 {
		t.Errorf("seen %q, logged %s", k.seen, &k.log)
	}
}

// TestWebhookFails: whatever a webhook does, the sync ends, and with a clear word.
func TestWebhookFails(t *testing.T) {
	large := []byte(`{"datasetRecords":{"a":{"newValue":"` + strings.Repeat("v", trigger.LargestAnswer) + `"}}}`)
	for name, c := range map[string]struct {
		h       http.HandlerFunc
		text    string
		outcome string
		cause   error
	}{
		"status 500": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, golden, 500) }, "The function answers with status 500, it must be 2xx", trigger.Failed, nil},
		"status 404": {http.NotFound, "The function answers with status 404", trigger.Failed, nil},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/there" {
				_, _ = io.WriteString(w, golden)
			}
			http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
		}, "The function answers with status 307", trigger.Failed, nil},
		"throttled": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) }, "The function is called too often", trigger.Throttled, tributary.ErrTriggerThrottled},
		"no body":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, "The function gave an answer that is not valid: it cannot be read", trigger.Failed, nil},
		"html":      {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, "The function gave an answer that is not valid", trigger.Failed, nil},
		"huge":      {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(large) }, "The function gave an answer of more than 6291456 bytes", trigger.Failed, nil},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		}, "The function gave an answer of more than", trigger.Failed, nil},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{")
			panic(http.ErrAbortHandler)
		}, "The function could not be called", trigger.Failed, nil},
		"a panic": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "The function could not be called", trigger.Failed, nil},
		"no answer": {func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}, "The function did not answer within 100ms", trigger.TimedOut, tributary.ErrTriggerTimeout},
		"a slow body": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, "{")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, "The function did not answer within 100ms", trigger.TimedOut, tributary.ErrTriggerTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, c.h)
			if c.outcome == trigger.TimedOut {
				k.caller.Patience = 100 * time.Millisecond
			} else {
				k.caller.Patience = time.Minute // this machine may be slow
			}
			_, err := k.caller.BeforeSync(t.Context(), k.server.URL, sync())
			k.fails(err, c.text, c.cause)
			if !slices.Equal(k.seen, []string{"webhook " + c.outcome}) {
				t.Errorf("seen %q", k.seen)
			}
			if !strings.Contains(k.log.String(), "outcome="+c.outcome) {
				t.Errorf("logged %s", &k.log)
			}
		})
	}
}

// TestUnreachable: nobody listens, the certificate is not good, an address is not
// to be called.
func TestUnreachable(t *testing.T) {
	k := newKit(t, func(http.ResponseWriter, *http.Request) { t.Error("called") })
	address := k.server.URL
	k.caller.Webhook.TLS = nil
	_, err := k.caller.BeforeSync(t.Context(), address, sync())
	k.fails(err, "The function could not be called", nil)
	k.server.Close()
	_, err = k.caller.BeforeSync(t.Context(), address, sync())
	k.fails(err, "The function could not be called", nil)
	_, err = k.caller.BeforeSync(t.Context(), "https://169.254.169.254/latest", sync())
	k.fails(err, "The function could not be called", nil)
	if !strings.Contains(err.Error(), "link-local addresses are never called") {
		t.Errorf("the cause is %v", err)
	}
	// http is for this machine, whatever a name says by then.
	_, err = k.caller.BeforeSync(t.Context(), "http://192.0.2.1/", sync())
	if k.fails(err, "could not be called", nil); !strings.Contains(err.Error(), "this very machine only") {
		t.Errorf("the cause is %v", err)
	}
	_, err = k.caller.BeforeSync(t.Context(), function, sync())
	k.fails(err, "The function could not be called", nil)
}

// TestLoopback: http is enough on the same machine.
func TestLoopback(t *testing.T) {
	k := newKit(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, golden) })
	plain := httptest.NewServer(k.server.Config.Handler)
	defer plain.Close()
	if _, err := k.caller.BeforeSync(t.Context(), plain.URL, sync()); err != nil {
		t.Error(err)
	}
}

// TestClientGone: a client that goes away is not held against the function.
func TestClientGone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	k := newKit(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
	})
	_, err := k.caller.BeforeSync(ctx, k.server.URL, sync())
	if k.fails(err, "could not be called", context.Canceled); k.log.Len() > 0 {
		t.Errorf("logged %s", &k.log)
	}
}

// TestManyCalls: one pool cannot take everything, and others are not held up.
func TestManyCalls(t *testing.T) {
	k := newKit(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, golden) })
	k.caller.Busy(pool, trigger.MostCalls)
	_, err := k.caller.BeforeSync(t.Context(), k.server.URL, sync())
	k.fails(err, "The function is called more than 100 times at once", tributary.ErrTriggerThrottled)
	other := sync()
	other.Key.Pool = "eu-west-1:0"
	_, err = k.caller.BeforeSync(t.Context(), k.server.URL, other)
	k.fails(err, "it has changed identityPoolId", nil) // it was called
	k.caller.Free(pool)
	for range 3 { // each gives its place back
		if _, err := k.caller.BeforeSync(t.Context(), k.server.URL, sync()); err != nil {
			t.Error(err)
		}
	}
	k.caller.Observe = nil // which is not made for many at once
	var all gosync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := k.caller.BeforeSync(t.Context(), k.server.URL, sync()); err != nil && !errors.Is(err, tributary.ErrTriggerThrottled) {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// TestLog: one line a minute for a pool, with how often it failed, and without
// anything of a user's, or a secret of the address.
func TestLog(t *testing.T) {
	k := newKit(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"datasetRecords":{"secretKey":7}}`)
	})
	fail := func() {
		t.Helper()
		_, err := k.caller.BeforeSync(t.Context(), k.server.URL+"/p?token=secretToken", sync())
		k.fails(err, "secretKey", nil)
	}
	fail()
	fail()
	fail()
	if n := strings.Count(k.log.String(), "\n"); n != 1 || !strings.Contains(k.log.String(), "failures=1") {
		t.Errorf("logged %s", &k.log)
	}
	k.clock = k.clock.Add(time.Minute)
	fail()
	if n := strings.Count(k.log.String(), "\n"); n != 2 || !strings.Contains(k.log.String(), "failures=3") {
		t.Errorf("logged %s", &k.log)
	}
	for _, secret := range []string{"secret", "Ann", "name", string(ann), "profile"} {
		if strings.Contains(k.log.String(), secret) {
			t.Errorf("the log holds %q: %s", secret, &k.log)
		}
	}
	if !strings.Contains(k.log.String(), "/p ") || !strings.Contains(k.log.String(), string(pool)) {
		t.Errorf("the log does not say which: %s", &k.log)
	}
}

// TestLambda: the Invoke API is spoken, in the function's region.
func TestLambda(t *testing.T) {
	var got *http.Request
	var body []byte
	k := newKit(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("X-Amz-Executed-Version", "7")
		_, _ = io.WriteString(w, golden)
	}).withLambda()
	records, err := k.caller.BeforeSync(t.Context(), function, sync())
	if err != nil || !slices.Equal(show(records), show(sync().Records)) {
		t.Fatalf("%v, %q", err, show(records))
	}
	if want := "/2015-03-31/functions/" + url.QueryEscape(function) + "/invocations"; got.Method != "POST" || got.RequestURI != want || string(body) != golden {
		t.Errorf("%s %s: %s", got.Method, got.RequestURI, body)
	}
	if a := got.Header.Get("Authorization"); !strings.Contains(a, "/eu-west-1/lambda/aws4_request") || got.Header.Get("X-Amz-Invocation-Type") == "Event" {
		t.Errorf("headers %v", got.Header)
	}
	if !slices.Equal(k.seen, []string{"lambda ok"}) {
		t.Errorf("seen %q", k.seen)
	}
}

// TestLambdaEndpoint: what is meant for AWS's clients of this server does not lead
// its own calls back to it.
func TestLambdaEndpoint(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:8080")
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if e := trigger.NewLambda(cfg, "").Endpoint(); e != nil {
		t.Errorf("the endpoint is %s", *e)
	}
	if e := trigger.NewLambda(cfg, "http://127.0.0.1:3001").Endpoint(); e == nil || *e != "http://127.0.0.1:3001" {
		t.Errorf("the endpoint is %v", e)
	}
}

// TestLambdaFails is every way in which an Invoke can end badly. None of them is
// tried again.
func TestLambdaFails(t *testing.T) {
	exception := func(status int, code string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amzn-ErrorType", code)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"Message":"text","Type":"User"}`)
		}
	}
	for name, c := range map[string]struct {
		h       http.HandlerFunc
		text    string
		outcome string
		cause   error
	}{
		"an error of its own": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			_, _ = io.WriteString(w, golden)
		}, "The function failed with an error of its own", trigger.Failed, nil},
		"throttled":   {exception(429, "TooManyRequestsException"), "The function is called more often than AWS Lambda allows", trigger.Throttled, tributary.ErrTriggerThrottled},
		"not there":   {exception(404, "ResourceNotFoundException"), "could not be called: AWS Lambda answers ResourceNotFoundException", trigger.Failed, nil},
		"not allowed": {exception(403, "AccessDeniedException"), "could not be called: AWS Lambda answers AccessDeniedException", trigger.Failed, nil},
		"broken":      {exception(500, "ServiceException"), "could not be called: AWS Lambda answers ServiceException", trigger.Failed, nil},
		"no answer":   {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "The function could not be called", trigger.Failed, nil},
		"nothing":     {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "null") }, "it has no datasetRecords", trigger.Failed, nil},
		"huge": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, trigger.LargestAnswer+1))
		}, "The function gave an answer of more than 6291456 bytes", trigger.Failed, nil},
		"slow": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, "The function did not answer within 100ms", trigger.TimedOut, tributary.ErrTriggerTimeout},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/there" {
				_, _ = io.WriteString(w, golden)
			}
			http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
		}, "The function could not be called", trigger.Failed, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int64
			k := newKit(t, func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				c.h(w, r)
			}).withLambda()
			if c.outcome == trigger.TimedOut {
				k.caller.Patience = 100 * time.Millisecond
			}
			_, err := k.caller.BeforeSync(t.Context(), function, sync())
			k.fails(err, c.text, c.cause)
			if n := calls.Load(); n > 1 || n < 1 && c.outcome != trigger.TimedOut || !slices.Equal(k.seen, []string{"lambda " + c.outcome}) {
				t.Errorf("%d calls, seen %q", n, k.seen)
			}
		})
	}
}

// TestCheck is what can be set.
func TestCheck(t *testing.T) {
	k := newKit(t, nil)
	const (
		noLambda = "without --lambda"
		noARN    = "it must be the ARN of a function"
		noHTTP   = "http is for this very machine (localhost) only"
		local    = "link-local addresses are never called"
		noUser   = "neither a user nor a fragment"
	)
	for name, want := range map[string]string{
		function: noLambda, strings.TrimSuffix(function, ":live"): noLambda,
		"arn:aws-cn:lambda:cn-north-1:123456789012:function:f:$LATEST": noLambda,
		"https://hooks.example.org/sync?x=1":                           "", "https://10.0.0.1:8443": "", "https://[fd00::1]/": "", "https://localhost": "",
		"http://localhost:3000/x": "", "http://127.0.0.1": "", "http://[::1]:80": "", "http://127.8.8.8": "", "http://[::ffff:127.0.0.1]": "",

		"arn:aws:lambda:eu-west-1:123456789012:function": noARN, "arn:aws:lambda:eu-west-1:12345:function:f": noARN,
		"arn:aws:sns:eu-west-1:123456789012:topic": noARN, function + ":more": noARN, "arn:aws:lambda:eu-west-1:123456789012:function:f/../g": noARN,
		"sync": noARN, "ftp://example.org": noARN, "https://": noARN, "https:///x": noARN, "https://exa mple.org": noARN, "//example.org": noARN,
		"http://example.org": noHTTP, "http://10.0.0.1": noHTTP, "http://localhost.example.org": noHTTP,
		"https://169.254.169.254/latest/meta-data": local, "https://[fe80::1]": local, "https://[fe80::1%25eth0]": local, "https://[::ffff:169.254.169.254]": local,
		"https://[fd00:ec2::254]": local, "https://[64:ff9b::a9fe:a9fe]": local, "http://169.254.1.1": local,
		"https://user:password@example.org": noUser, "https://example.org#x": noUser,
		"https://example.org/" + strings.Repeat("x", 2048): "the most is 2048",
	} {
		err := k.caller.Check(name)
		if want == "" && err != nil || want != "" && (tributary.KindOf(err) != tributary.Invalid || !strings.Contains(tributary.Message(err), want)) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	if err := k.withLambda().caller.Check(function); err != nil {
		t.Error(err)
	}
}

// TestOffLimits is which addresses are never connected to.
func TestOffLimits(t *testing.T) {
	for text, want := range map[string]bool{
		"169.254.169.254": true, "169.254.0.1": true, "fe80::1": true, "febf::1": true, "::ffff:169.254.169.254": true, "64:ff9b::a9fe:1": true,
		"fd00:ec2::254": true, "fd20:ce::254": true, "224.0.0.1": true, "ff02::1": true, "fe80::1%eth0": true, "fd00:ec2::254%eth0": true,
		"10.0.0.1": false, "127.0.0.1": false, "192.168.1.1": false, "169.253.1.1": false, "8.8.8.8": false, "fd00::1": false, "::1": false, "64:ff9b::808:808": false,
	} {
		if got := trigger.OffLimits(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %t, want %t", text, got, want)
		}
	}
}
