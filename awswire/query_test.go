package awswire_test

import (
	"context"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tributary/awswire"
)

// spoken is an operation that says what it was told.
type spoken struct {
	Text string `xml:",omitempty"`
}

// Bind takes the values of the form.
func (e *spoken) Bind(p awswire.Params) error {
	e.Text, _ = p.Query("Text")
	return nil
}

// TestQuery: AWS's Query protocol.
func TestQuery(t *testing.T) {
	now := time.Unix(1_790_000_000, 0)
	key := awswire.Credentials{AccessKeyID: "AKIA", SecretKey: "secret"}
	verifier := &awswire.Verifier[string]{Now: func() time.Time { return now }, Lookup: func(_ context.Context, id, _ string) (string, string, error) {
		if id != key.AccessKeyID {
			return "", "", awswire.UnknownKey()
		}
		return key.SecretKey, "me", nil
	}}
	say := awswire.Handler(func(_ context.Context, p string, in *spoken) (*spoken, error) {
		switch in.Text {
		case "fail":
			return nil, &awswire.Fault{Code: "ExpiredTokenException", Status: 400, Message: "a <fault> & \xff\x00"}
		case "slow":
			return nil, &awswire.Fault{Code: "Throttling", Status: http.StatusTooManyRequests}
		case "panic":
			panic("in a test")
		}
		return &spoken{p + in.Text}, nil
	})
	service := &awswire.Service[string]{
		Name: "words", Protocol: awswire.Query, Namespace: "urn:words", MaxBody: 1 << 20, Authenticate: verifier.Authenticate,
		Operations: []awswire.Operation[string]{{Name: "Say", Public: true, Handle: say}, {Name: "SayWho", Handle: say}},
	}
	send := func(as *awswire.Credentials, method, query, body string) (*httptest.ResponseRecorder, string) {
		t.Helper()
		r := httptest.NewRequest(method, "http://words.test/"+query, strings.NewReader(body))
		if as != nil {
			awswire.Sign(r, []byte(body), *as, "us-east-1", "words", now)
		}
		w := httptest.NewRecorder()
		service.ServeHTTP(w, r)
		id := header(w, "x-amzn-RequestId")
		if id == "" || w.Header().Get("Content-Type") != "text/xml" {
			t.Fatalf("headers %v", w.Header())
		}
		return w, strings.ReplaceAll(w.Body.String(), id, "ID")
	}
	answer := func(operation, text string) string {
		return "<" + operation + `Response xmlns="urn:words"><` + operation + "Result>" + text + "</" + operation + "Result><ResponseMetadata><RequestId>ID</RequestId></ResponseMetadata></" + operation + "Response>"
	}
	fault := func(whose, code, message string) string {
		return `<ErrorResponse xmlns="urn:words"><Error><Type>` + whose + "</Type><Code>" + code + "</Code><Message>" + message + "</Message></Error><RequestId>ID</RequestId></ErrorResponse>"
	}
	missing := fault("Sender", "MissingAction", "The request must name an Action: words has Say and SayWho")
	for _, c := range []struct {
		as                  *awswire.Credentials
		method, query, body string
		status              int
		want                string
	}{
		{nil, "POST", "", "Action=Say&Text=a+b%3C%26%3E%ff%00", 200, answer("Say", "<Text>a b&lt;&amp;&gt;\uFFFD\uFFFD</Text>")},
		{nil, "POST", "?Action=SayWho&Text=x", "Action=Say", 200, answer("Say", "")},
		{nil, "GET", "?Action=Say&Text=x&Text=y", "Action=SayWho", 200, answer("Say", "<Text>x</Text>")},
		{&key, "POST", "", "Action=SayWho&Text=x", 200, answer("SayWho", "<Text>mex</Text>")},
		{&key, "GET", "?Action=SayWho", "", 200, answer("SayWho", "<Text>me</Text>")},
		{nil, "POST", "", "Action=SayWho", 403, fault("Sender", "MissingAuthenticationToken", "Missing Authentication Token")},
		{&awswire.Credentials{AccessKeyID: "AKIB", SecretKey: "x"}, "POST", "", "Action=SayWho", 403, fault("Sender", "InvalidClientTokenId", "The security token included in the request is invalid.")},
		{nil, "POST", "", "Action=Say&Text=fail", 400, fault("Sender", "ExpiredTokenException", "a &lt;fault&gt; &amp; \uFFFD\uFFFD")}, // the operation's own code
		{nil, "POST", "", "Action=Say&Text=slow", 400, fault("Sender", "Throttling", "")},
		{nil, "POST", "", "Action=Say&Text=panic", 500, fault("Receiver", "InternalFailure", "Internal failure")},
		{nil, "POST", "?Action=Say", "", 400, missing},
		{nil, "GET", "?action=Say", "", 400, missing},
		{nil, "POST", "", "Action=Shout", 400, fault("Sender", "InvalidAction", "The action &#34;Shout&#34; is not served here: words has Say and SayWho")},
		{nil, "DELETE", "?Action=Say", "", 400, fault("Sender", "InvalidAction", "DELETE is not answered here: send POST, or GET with the parameters in the query")},
		{nil, "POST", "", "Action=Say&Text=" + strings.Repeat("x", 64<<10), 413, fault("Sender", "RequestEntityTooLargeException", "The request body is larger than the limit of 65536 bytes")},
	} {
		w, got := send(c.as, c.method, c.query, c.body)
		if w.Code != c.status || got != c.want {
			t.Errorf("%s %s %.60s: %d %s\nwant %d %s", c.method, c.query, c.body, w.Code, got, c.status, c.want)
		}
		if err := xml.Unmarshal([]byte(got), new(struct{})); err != nil {
			t.Errorf("%s: %v", got, err)
		}
		if again := w.Header().Get("Retry-After"); (again != "") != strings.Contains(c.body, "slow") {
			t.Errorf("%s: Retry-After %q", c.body, again)
		}
	}
}
