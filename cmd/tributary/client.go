package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"tributary/awswire"
	"tributary/front/api"
)

// serverFlags say which server a command talks to, and as whom.
type serverFlags struct {
	Server      string `default:"http://127.0.0.1:8080" fallback:"AWS_ENDPOINT_URL" help:"Address of the server." placeholder:"URL"`
	Data        string `help:"Data folder of the server, for the developer key in its file credentials. Default: data." placeholder:"DIR"`
	Credentials string `help:"File with a developer key, in the format of AWS shared credentials. Default: that of --data if it is set, else AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, else AWS_SHARED_CREDENTIALS_FILE, else data/credentials." placeholder:"FILE"`
	Region      string `default:"us-east-1" help:"Region to sign for."`

	trusting *http.Client // as the environment wants it; nil: not made yet
}

// Validate refuses what cannot work. Kong calls it for each command that has
// these flags.
func (f *serverFlags) Validate() error {
	if !isServerURL(f.Server) {
		return fmt.Errorf("--server is %q, --server must be http://HOST:PORT", f.Server)
	}
	err := checkRegions("--region", f.Region)
	if f.Data != "" {
		err = cmp.Or(err, checkData(f.Data))
	}
	return err
}

// path is the file of the developer key, "" if the environment has the key
// itself. What was said for tributary beats what was said for AWS's clients.
func (f *serverFlags) path(lookup func(string) (string, bool)) string {
	if f.Credentials != "" {
		return f.Credentials
	}
	if f.Data != "" {
		return filepath.Join(f.Data, credentialsName)
	}
	id, _ := lookup("AWS_ACCESS_KEY_ID")
	secret, _ := lookup("AWS_SECRET_ACCESS_KEY")
	if id != "" && secret != "" {
		return ""
	}
	file, _ := lookup("AWS_SHARED_CREDENTIALS_FILE")
	return cmp.Or(file, filepath.Join("data", credentialsName))
}

// key finds the developer key.
func (f *serverFlags) key(lookup func(string) (string, bool)) (awswire.Credentials, error) {
	path := f.path(lookup)
	if path == "" {
		id, _ := lookup("AWS_ACCESS_KEY_ID")
		secret, _ := lookup("AWS_SECRET_ACCESS_KEY")
		token, _ := lookup("AWS_SESSION_TOKEN")
		return awswire.Credentials{AccessKeyID: id, SecretKey: secret, SessionToken: token}, nil
	}
	c, err := readCredentials(path)
	if errors.Is(err, os.ErrNotExist) {
		return c, fmt.Errorf("no developer key in %s; say --credentials FILE or --data DIR of the server", path)
	}
	return c, err
}

// readCredentials reads the [default] profile of a shared credentials file.
func readCredentials(path string) (awswire.Credentials, error) {
	var c awswire.Credentials
	f, err := os.Open(path)
	if err != nil {
		return c, err
	}
	defer func() { _ = f.Close() }()
	profile := ""
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		switch name, value := defaultSetting(lines.Text(), &profile); name {
		case keyIDSetting:
			c.AccessKeyID = value
		case secretSetting:
			c.SecretKey = value
		case "aws_session_token":
			c.SessionToken = value
		}
	}
	if err := lines.Err(); err != nil {
		return c, err
	}
	if c.AccessKeyID == "" || c.SecretKey == "" {
		return c, fmt.Errorf("%s has no key in its profile [default]", path)
	}
	return c, nil
}

// The settings of a shared credentials file that are an access key.
const keyIDSetting, secretSetting = "aws_access_key_id", "aws_secret_access_key"

// defaultSetting reads a line of a shared credentials file, which may begin
// another profile. It gives a setting of [default], or "".
func defaultSetting(line string, profile *string) (name, value string) {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "[") {
		*profile = strings.Trim(line, "[] ")
	}
	if *profile != "default" {
		return "", ""
	}
	name, value, _ = strings.Cut(line, "=")
	return strings.TrimSpace(name), strings.TrimSpace(value)
}

// call calls one of the server's own operations.
func (f *serverFlags) call(ctx context.Context, lookup func(string) (string, bool), method, path string, in, out any) error {
	answer, err := f.open(ctx, lookup, method, path, in)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("the answer of %s cannot be read: %w", f.Server, err)
	}
	return nil
}

// open calls one of the server's own operations, and gives its answer to be
// read and closed.
func (f *serverFlags) open(ctx context.Context, lookup func(string) (string, bool), method, path string, in any) (*http.Response, error) {
	key, err := f.key(lookup)
	if err != nil {
		return nil, err
	}
	var body []byte
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return nil, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(f.Server, "/")+api.Prefix+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	awswire.Sign(r, body, key, f.Region, api.Name, time.Now())
	client, err := f.client(lookup)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, f.connectionError(err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer, nil
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	return nil, f.serverError(answer, text, key.AccessKeyID)
}

// notKnown are the errors of a server that the key, or the signature made with
// it, is nothing to: perhaps it is not the one that was meant.
var notKnown = []string{"UnrecognizedClientException", "InvalidSignatureException", "IncompleteSignatureException", "MissingAuthenticationTokenException"}

func (f *serverFlags) serverError(answer *http.Response, text []byte, keyID string) error {
	code := answer.Header.Get("X-Amzn-Errortype")
	if code == "" && bytes.Contains(text, []byte("HTTP request to an HTTPS server")) { // net/http's words
		return f.otherScheme("speaks TLS", "https")
	}
	if code == "" {
		return fmt.Errorf("%s answers %s: is it a tributary server?", f.Server, answer.Status)
	}
	var said struct {
		Message string `json:"message"`
	}
	if err := json.Unmarshal(text, &said); err != nil || said.Message == "" {
		said.Message = answer.Status
	}
	if slices.Contains(notKnown, code) {
		return fmt.Errorf("%s: %s (from %s, with the access key %s)", code, said.Message, f.Server, keyID)
	}
	return fmt.Errorf("%s: %s", code, said.Message)
}
