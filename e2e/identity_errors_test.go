package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	credentials2 "github.com/aws/aws-sdk-go-v2/credentials"
	identity2 "github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// provoked is a call that must fail with an exception of its operation's model.
type provoked struct {
	Operation, Exception string
	Text                 string `json:"-"` // in its message
	Caller               string
	Input                object
	// Together is how many calls are sent at once, and again and again until one
	// of them fails so; 0: one call, once.
	Together int
}

// mostRounds is how often calls are sent together.
const mostRounds = 50

// errorPair is an operation with an exception of its model.
type errorPair struct{ operation, exception string }

// errorCaller is somebody who calls one of the servers.
type errorCaller struct {
	Endpoint    string `json:"endpoint"`
	Credentials struct {
		AccessKeyID     string `json:"accessKeyId"`
		SecretAccessKey string `json:"secretAccessKey"`
		SessionToken    string `json:"sessionToken,omitempty"`
	} `json:"credentials"`
}

type errorCallers map[string]errorCaller

func (all errorCallers) add(name, url, id, secret, token string) {
	c := errorCaller{Endpoint: url}
	c.Credentials.AccessKeyID, c.Credentials.SecretAccessKey, c.Credentials.SessionToken = id, secret, token
	all[name] = c
}

// outcome is how an SDK says that a call ended.
type outcome struct {
	Type    string `json:"type"` // the SDK's own of the exception; "" for success
	Status  int    `json:"status"`
	Message string `json:"message"`
}

// TestIdentityErrors provokes every exception that the service model has for an
// operation of Cognito Identity with AWS's SDKs for Go 2 and JavaScript 3, or
// says why it cannot be had.
func TestIdentityErrors(t *testing.T) {
	t.Parallel()
	w := newErrorWorld(t)
	calls, reasons := w.provoked(), w.unprovoked()
	var broken []provoked
	if onPostgres() {
		broken = w.broken()
	}
	checkPairs(t, slices.Concat(calls, broken), reasons)
	provoke(t, w.callers, calls)
	if onPostgres() {
		w.breakStore(t)
		t.Run("Broken", func(t *testing.T) { provoke(t, w.callers, broken) })
	}
}

// checkPairs makes sure that each pair of the model is either provoked or has a
// reason why not, and that there are no others.
func checkPairs(t *testing.T, calls []provoked, reasons map[errorPair]string) {
	t.Helper()
	rows := maps.Clone(reasons)
	for _, c := range calls {
		pair := errorPair{c.Operation, c.Exception}
		if why, ok := reasons[pair]; ok {
			t.Errorf("%v is provoked, though %s", pair, why)
		}
		rows[pair] = ""
	}
	model := modelledErrors(t)
	for _, pair := range model {
		if _, ok := rows[pair]; !ok {
			t.Errorf("%v has no row", pair)
		}
		delete(rows, pair)
	}
	for pair := range rows {
		t.Errorf("%v is not in the model", pair)
	}
	t.Logf("%d exceptions, of which %d are not provoked", len(model), len(reasons))
}

// modelledErrors reads the service model that AWS's SDK for Python has.
func modelledErrors(t *testing.T) []errorPair {
	t.Helper()
	pattern := built(t, "venv", "lib") + "/python3*/site-packages/botocore/data/cognito-identity/2014-06-30/service-2.json.gz"
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files %s: %v", len(files), pattern, err)
	}
	text := must[[]byte](t)(os.ReadFile(files[0]))
	var model struct {
		Operations map[string]struct{ Errors []struct{ Shape string } }
	}
	err = json.NewDecoder(must[*gzip.Reader](t)(gzip.NewReader(bytes.NewReader(text)))).Decode(&model)
	if err != nil {
		t.Fatal(err)
	}
	var out []errorPair
	for name, o := range model.Operations {
		for _, e := range o.Errors {
			out = append(out, errorPair{name, e.Shape})
		}
	}
	return out
}

// provoke makes the calls with both SDKs.
func provoke(t *testing.T, callers errorCallers, calls []provoked) {
	t.Run("Go", func(t *testing.T) { checkOutcomes(t, calls, provokeByGo(t, callers, calls)) })
	t.Run("JavaScript", func(t *testing.T) { checkOutcomes(t, calls, provokeByJavaScript(t, callers, calls)) })
}

func checkOutcomes(t *testing.T, calls []provoked, have []outcome) {
	t.Helper()
	for i, got := range have {
		c, status := calls[i], 400
		if c.Exception == internalError {
			status = 500
		}
		if got.Type != c.Exception || got.Status != status || !strings.Contains(got.Message, c.Text) {
			t.Errorf("%s: %+v, want %s with status %d: %q", c.Operation, got, c.Exception, status, c.Text)
		}
	}
}

// untilSeen makes a call as often as it says, and tells how it ended.
func (c *provoked) untilSeen(send func() outcome) outcome {
	if c.Together == 0 {
		return send()
	}
	var last outcome
	for range mostRounds {
		ended := make(chan outcome)
		for range c.Together {
			go func() { ended <- send() }()
		}
		seen := false
		for range c.Together {
			if o := <-ended; !seen {
				last, seen = o, o.Type == c.Exception
			}
		}
		if seen {
			break
		}
	}
	return last
}

func provokeByGo(t *testing.T, callers errorCallers, calls []provoked) []outcome {
	clients := map[string]*identity2.Client{}
	for name, c := range callers {
		clients[name] = identity2.New(identity2.Options{Region: region, BaseEndpoint: &c.Endpoint, Retryer: aws.NopRetryer{},
			Credentials: credentials2.NewStaticCredentialsProvider(c.Credentials.AccessKeyID, c.Credentials.SecretAccessKey, c.Credentials.SessionToken)})
	}
	out := make([]outcome, len(calls))
	for i := range calls {
		c := &calls[i]
		call := reflect.ValueOf(clients[c.Caller]).MethodByName(c.Operation)
		in := reflect.New(call.Type().In(1).Elem())
		strict := json.NewDecoder(bytes.NewReader(encode(t, c.Input)))
		strict.DisallowUnknownFields()
		if err := strict.Decode(in.Interface()); err != nil {
			t.Fatalf("%s: %v", c.Operation, err)
		}
		out[i] = c.untilSeen(func() outcome { return invoke(t.Context(), call, in) })
	}
	return out
}

// invoke calls a method of the SDK for Go.
func invoke(ctx context.Context, call, in reflect.Value) outcome {
	err, _ := call.Call([]reflect.Value{reflect.ValueOf(ctx), in})[1].Interface().(error)
	if err == nil {
		return outcome{}
	}
	out := outcome{Type: reflect.TypeOf(err).String(), Message: err.Error()}
	var exception smithy.APIError
	if errors.As(err, &exception) {
		out.Type, out.Message = reflect.TypeOf(exception).Elem().Name(), exception.ErrorMessage()
	}
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		out.Status = response.HTTPStatusCode()
	}
	return out
}

func provokeByJavaScript(t *testing.T, callers errorCallers, calls []provoked) []outcome {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("%v: run scripts/e2e-setup first", err)
	}
	input := filepath.Join(t.TempDir(), "calls.json")
	if err := os.WriteFile(input, encode(t, object{"callers": callers, "calls": calls, "region": region, "mostRounds": mostRounds}), 0o600); err != nil {
		t.Fatal(err)
	}
	r := runCommand(t, environment(t, "NODE_PATH="+built(t, "js", "node_modules")), node, filepath.Join("js", "identity_errors.js"), input)
	var out []outcome
	for lines := bufio.NewScanner(strings.NewReader(r.stdout)); lines.Scan(); {
		var o outcome
		decode(t, lines.Bytes(), &o)
		out = append(out, o)
	}
	if r.code != 0 || len(out) != len(calls) {
		t.Fatalf("%d of %d calls: %v", len(out), len(calls), r)
	}
	return out
}
