package awswire_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unsafe"

	"tributary/awswire"
)

type echoIn struct {
	Text  string
	At    awswire.Timestamp
	id, q string
}

func (in *echoIn) Bind(p awswire.Params) error {
	in.id = p.Path("Id")
	in.q, _ = p.Query("q")
	return nil
}

type echoOut struct {
	ID   string `json:"Id"`
	Q    string
	Text string
	At   awswire.Timestamp
}

func echo(_ context.Context, _ string, in *echoIn) (*echoOut, error) {
	switch in.Text {
	case "panic":
		panic("on purpose")
	case "error":
		return nil, errors.New("secret")
	case "broken":
		return &echoOut{Text: "\xff"}, nil // which cannot be encoded
	}
	return &echoOut{in.id, in.q, in.Text, in.At}, nil
}

// header reads a header by its exact spelling.
func header(w *httptest.ResponseRecorder, name string) string {
	return strings.Join(w.Header()[name], ",")
}

// service is a service of one operation that needs no signature, and one that does.
func service(protocol awswire.Protocol) *awswire.Service[string] {
	return &awswire.Service[string]{
		Name: "test", Target: "Test", Protocol: protocol, MaxBody: 100,
		Operations: []awswire.Operation[string]{
			{Name: "Echo", Method: "POST", Path: "/things/{Id}/echo", Public: true, Handle: awswire.Handler(echo)},
			{Name: "Signed", Method: "GET", Path: "/signed", Handle: awswire.Handler(echo)},
			{Name: "SignedPost", Method: "POST", Path: "/signed", Handle: awswire.Handler(echo)},
			awswire.Unsupported[string]("Later", "GET", "/later"),
		},
		Authenticate: func(r *http.Request, read awswire.ReadBody) (string, error) {
			if r.Header.Get("Authorization") == "" {
				return "", &awswire.Fault{Code: "MissingAuthenticationTokenException", Status: 403, Message: "Missing Authentication Token"}
			}
			_, presigned := r.URL.Query()["X-Amz-Signature"]
			_, err := read(awswire.Scope{Service: r.Header.Get("Authorization"), Presigned: presigned})
			return "me", err
		},
		Fault: func(_ string, err error) *awswire.Fault {
			return &awswire.Fault{Code: "InternalErrorException", Status: 500, Message: "Internal error"}
		},
	}
}

func TestService(t *testing.T) {
	for _, c := range []struct {
		name, method, target, body, auth string
		status                           int
		code, answer                     string
	}{
		{"echo", "POST", "/things/a/echo?q=1", `{"Text":"x","At":1.5e3}`, "", 200, "", `{"Id":"a","Q":"1","Text":"x","At":1500}`},
		{"escapes", "POST", "/things/a%2Fb%3Ac/echo?q=a%20b+c", "", "", 200, "", `{"Id":"a/b:c","Q":"a b c","Text":"","At":0}`},
		{"dots", "POST", "/things/../echo", "", "", 200, "", `{"Id":"..","Q":"","Text":"","At":0}`},
		{"unknown members", "POST", "/things/a/echo", `{"Other":1,"At":null}`, "", 200, "", `{"Id":"a","Q":"","Text":"","At":0}`},
		{"no such path", "POST", "/things/a/b/echo", "", "", 404, "UnknownOperationException", ""},
		{"too short", "POST", "/things/a", "", "", 404, "UnknownOperationException", ""},
		{"other method", "GET", "/things/a/echo", "", "", 404, "UnknownOperationException", ""},
		{"no JSON", "POST", "/things/a/echo", `{"Text"`, "", 400, "SerializationException", ""},
		{"wrong type", "POST", "/things/a/echo", `{"Text":1}`, "", 400, "SerializationException", ""},
		{"far time", "POST", "/things/a/echo", `{"At":1e300}`, "", 400, "SerializationException", ""},
		{"too large", "POST", "/things/a/echo", strings.Repeat(" ", 101), "", 413, "RequestEntityTooLargeException", ""},
		{"panic", "POST", "/things/a/echo", `{"Text":"panic"}`, "", 500, "InternalFailure", ""},
		{"error", "POST", "/things/a/echo", `{"Text":"error"}`, "", 500, "InternalErrorException", ""},
		{"broken answer", "POST", "/things/a/echo", `{"Text":"broken"}`, "", 500, "InternalErrorException", ""},
		{"not signed", "GET", "/signed", "", "", 403, "MissingAuthenticationTokenException", ""},
		{"signed for another", "GET", "/signed", "", "other", 403, "InvalidSignatureException", ""},
		{"signed", "GET", "/signed", "", "test", 200, "", `{"Id":"","Q":"","Text":"","At":0}`},
		{"get with a body", "GET", "/signed", `{"Text"`, "test", 200, "", `{"Id":"","Q":"","Text":"","At":0}`},
		{"link", "GET", "/signed?X-Amz-Signature", "", "test", 200, "", ""},
		{"link with a body", "GET", "/signed?X-Amz-Signature", "{}", "test", 403, "InvalidSignatureException", ""},
		{"link to a POST", "POST", "/signed?X-Amz-Signature", "", "test", 403, "InvalidSignatureException", ""},
		{"later", "GET", "/later", "", "test", 400, "UnsupportedOperationException", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, c.target, strings.NewReader(c.body))
			r.Header.Set("Authorization", c.auth)
			w := httptest.NewRecorder()
			service(awswire.RESTJSON).ServeHTTP(w, r)
			code, id := header(w, "x-amzn-ErrorType"), header(w, "x-amzn-RequestId")
			if w.Code != c.status || code != c.code || c.answer != "" && w.Body.String() != c.answer {
				t.Errorf("got %d %s %s, want %d %s %s", w.Code, code, w.Body, c.status, c.code, c.answer)
			}
			if strings.Contains(w.Body.String(), "secret") || !json.Valid(w.Body.Bytes()) || len(id) != 36 {
				t.Errorf("request id %q, body %s", id, w.Body)
			}
		})
	}
}

// TestBegin: calls of known callers are told of by the action's name, and how
// they ended; what is given as the caller is what the operation sees.
func TestBegin(t *testing.T) {
	s := service(awswire.RESTJSON)
	var told []string
	s.Begin = func(p string, r *http.Request, action, request string) (string, func(*awswire.Fault)) {
		if len(request) != 36 {
			t.Errorf("the request is %q", request)
		}
		told = append(told, r.Method+" "+action+" by "+p)
		return "another", func(f *awswire.Fault) {
			end := "ok"
			if f != nil {
				end = f.Code
			}
			told = append(told, end)
		}
	}
	seen := ""
	s.Operations[1].Handle = awswire.Handler(func(_ context.Context, p string, _ *echoIn) (*echoOut, error) {
		seen = p
		return &echoOut{}, nil
	})
	for _, c := range []struct{ method, path, body, authorization string }{
		{"GET", "/signed", "", "test"}, {"GET", "/signed", "", ""}, {"POST", "/signed", `{"Text":"error"}`, "test"}, {"POST", "/signed", `{"Text":"panic"}`, "test"},
		{"POST", "/things/1/echo", "", "test"}, {"GET", "/later", "", "test"}, {"GET", "/nothing", "", "test"},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		if c.authorization != "" {
			r.Header.Set("Authorization", c.authorization)
		}
		s.ServeHTTP(httptest.NewRecorder(), r)
	}
	want := "GET test:Signed by me|ok|POST test:SignedPost by me|InternalErrorException|POST test:SignedPost by me|InternalFailure|GET test:Later by me|UnsupportedOperationException"
	if got := strings.Join(told, "|"); got != want || seen != "another" {
		t.Errorf("told\n%s\nwant\n%s\nthe operation sees %q", got, want, seen)
	}
}

func TestJSON11(t *testing.T) {
	for _, c := range []struct {
		target, body string
		status       int
		answer       string
	}{
		{"Test.Echo", `{"Text":"x"}`, 200, `{"Id":"","Q":"","Text":"x","At":0}`},
		{"Test.Nothing", `{}`, 400, `"__type":"UnknownOperationException"`},
		{"Other.Echo", `{}`, 400, `"__type":"UnknownOperationException"`},
		{"Test.Signed", `{}`, 400, `"__type":"MissingAuthenticationTokenException"`}, // 403 on REST-JSON
		{"Test.Echo", `{"Text":"error"}`, 500, `"__type":"InternalErrorException"`},
		{"Test.Echo", strings.Repeat(" ", 101), 413, `"__type":"RequestEntityTooLargeException"`},
	} {
		r := httptest.NewRequest("POST", "/", strings.NewReader(c.body))
		r.Header.Set("X-Amz-Target", c.target)
		w := httptest.NewRecorder()
		service(awswire.JSON11).ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.answer) || w.Header().Get("Content-Type") != "application/x-amz-json-1.1" {
			t.Errorf("%s %.20s: got %d %s, want %d %s", c.target, c.body, w.Code, w.Body, c.status, c.answer)
		}
	}
}

// TestHeaderNames reads the bytes of an answer: iOS wants these names exactly.
func TestHeaderNames(t *testing.T) {
	s := httptest.NewServer(service(awswire.RESTJSON))
	defer s.Close()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, "GET /signed HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	for _, want := range []string{"\r\nx-amzn-ErrorType: MissingAuthenticationTokenException\r\n", "\r\nx-amzn-RequestId: "} {
		if err != nil || !bytes.Contains(answer, []byte(want)) {
			t.Errorf("no %q in %q, %v", want, answer, err)
		}
	}
}

// TestLog has every fault of ours told, but an outage once for all requests.
func TestLog(t *testing.T) {
	var out bytes.Buffer
	s := service(awswire.RESTJSON)
	s.Log = slog.New(slog.NewTextHandler(&out, nil))
	status := 503
	s.Fault = func(string, error) *awswire.Fault { return &awswire.Fault{Code: "X", Status: status} }
	fail := func(text string) {
		s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/things/a/echo", strings.NewReader(`{"Text":"`+text+`"}`)))
	}
	for range 5 {
		fail("error")
	}
	if got := strings.Count(out.String(), "err=secret"); got != 1 {
		t.Errorf("an outage is told %d times:\n%s", got, &out)
	}
	status = 500
	out.Reset()
	for range 5 {
		fail("error")
	}
	fail("broken")
	if got := strings.Count(out.String(), "request failed"); got != 6 || !strings.Contains(out.String(), "UTF-8") {
		t.Errorf("6 faults are told %d times:\n%s", got, &out)
	}
}

// TestPathParamsAreCopies has names that do not keep the whole request line.
func TestPathParamsAreCopies(t *testing.T) {
	r := httptest.NewRequest("GET", "/a/plain", nil)
	var got string
	s := awswire.Service[string]{Operations: []awswire.Operation[string]{{Name: "X", Method: "GET", Path: "/a/{Id}", Public: true,
		Handle: func(_ context.Context, _ string, in awswire.Input) (any, error) {
			got = in.Params.Path("Id")
			return nil, nil
		}}}}
	s.ServeHTTP(httptest.NewRecorder(), r)
	line := r.RequestURI
	if got != "plain" || unsafe.StringData(got) == unsafe.StringData(line[len("/a/"):]) {
		t.Errorf("%q is a part of %q", got, line)
	}
}

func TestTimestamp(t *testing.T) {
	for text, want := range map[string]awswire.Timestamp{"0": 0, "1524113410.528": 1524113410528, "1.412974057151E9": 1412974057151, "-1.5": -1500, "1577836800": 1577836800000} {
		if got, err := awswire.ParseTimestamp(text); err != nil || got != want {
			t.Errorf("%s is %d, %v", text, got, err)
		}
	}
	for ms, want := range map[awswire.Timestamp]string{0: "0", 1500: "1.500", -1500: "-1.500", 1412974057007: "1412974057.007", 7000: "7"} {
		if got := string(ms.AppendJSON(nil)); got != want {
			t.Errorf("%d is written %s, want %s", ms, got, want)
		}
	}
	for _, text := range []string{"", "x", "NaN", "Inf", "1e20", "0x10p3x"} {
		if got, err := awswire.ParseTimestamp(text); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
}
