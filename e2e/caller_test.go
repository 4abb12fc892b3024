package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws/credentials"
	v4 "github.com/aws/aws-sdk-go/aws/signer/v4"
)

// Signing names.
const (
	syncService     = "cognito-sync"
	identityService = "cognito-identity"
	kinesisService  = "kinesis"
)

// caller sends requests of its own making, signed by AWS's SDK for Go.
type caller struct {
	url    string
	creds  *credentials.Credentials
	client *http.Client
}

func newCaller(url, id, secret, token string) *caller {
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
	return &caller{url: url, creds: credentials.NewStaticCredentials(id, secret, token),
		client: &http.Client{Transport: transport, Timeout: 30 * time.Second}}
}

// overHTTP2 is the same caller with a connection of HTTP/2, without TLS.
func (c *caller) overHTTP2() *caller {
	again := *c
	transport := &http.Transport{DisableCompression: true, Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	again.client = &http.Client{Transport: transport, Timeout: 30 * time.Second}
	return &again
}

// developer is the developer whose key the server made.
func (s *server) developer() *caller {
	s.t.Helper()
	k := s.key()
	return newCaller(s.url, k.id, k.secret, "")
}

// request makes a signed request. The path is sent as it is.
func (c *caller) request(service, method, path string, body []byte) (*http.Request, error) {
	return c.requestAt(time.Now(), region, service, method, path, body, nil)
}

func (c *caller) requestAt(at time.Time, region, service, method, path string, body []byte, header http.Header) (*http.Request, error) {
	r, err := http.NewRequest(method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	if len(body) > 0 && r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	}
	var seeker io.ReadSeeker
	if len(body) > 0 {
		seeker = bytes.NewReader(body)
	} else {
		r.Body = nil
	}
	_, err = v4.NewSigner(c.creds).Sign(r, seeker, service, region, at)
	return r, err
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// send sends a request and reads the answer.
func (c *caller) send(r *http.Request) (answer, error) {
	response, err := c.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, body}, err
}

// do sends a signed request.
func (c *caller) do(t *testing.T, service, method, path string, body []byte) answer {
	t.Helper()
	r, err := c.request(service, method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.send(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// rest calls an operation by method and path, which must succeed.
func (c *caller) rest(t *testing.T, method, path string, in, out any) {
	t.Helper()
	var body []byte
	if in != nil {
		body = encode(t, in)
	}
	a := c.do(t, syncService, method, path, body)
	if a.status != http.StatusOK {
		t.Fatalf("%s %s: status %d: %s", method, path, a.status, a.body)
	}
	decode(t, a.body, out)
}

// targets are the prefixes of X-Amz-Target.
var targets = map[string]string{identityService: "AWSCognitoIdentityService", kinesisService: "Kinesis_20131202"}

// rpc sends an operation that the header X-Amz-Target names.
func (c *caller) rpc(service, operation string, body []byte) (answer, error) {
	header := http.Header{"X-Amz-Target": {targets[service] + "." + operation}, "Content-Type": {"application/x-amz-json-1.1"}}
	r, err := c.requestAt(time.Now(), region, service, http.MethodPost, "/", body, header)
	if err != nil {
		return answer{}, err
	}
	return c.send(r)
}

// call calls an operation by its target, which must succeed.
func (c *caller) call(t *testing.T, service, operation string, in, out any) {
	t.Helper()
	a, err := c.rpc(service, operation, encode(t, in))
	if err != nil {
		t.Fatalf("%s: %v", operation, err)
	}
	if a.status != http.StatusOK {
		t.Fatalf("%s: status %d: %s", operation, a.status, a.body)
	}
	if out != nil {
		decode(t, a.body, out)
	}
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func decode(t *testing.T, body []byte, v any) {
	t.Helper()
	if v == nil {
		return
	}
	if err := json.Unmarshal(body, v); err != nil {
		t.Fatalf("%v in %s", err, clip(string(body)))
	}
}

// clip shortens a text for a message.
func clip(s string) string {
	if len(s) > 1000 {
		return s[:1000] + "..."
	}
	return s
}

// object is JSON in the making, or as it was read.
type object = map[string]any

// errorOf tells of an answer that should have been another one.
func errorOf(what string, a answer, err error) error {
	if err != nil {
		return fmt.Errorf("%s: status %d: %w", what, a.status, err)
	}
	return fmt.Errorf("%s: status %d: %s", what, a.status, clip(string(a.body)))
}
