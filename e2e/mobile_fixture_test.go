package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// mobileClient is testdata/<client>/client.txt: what all its requests have, and
// what it reads of all answers.
type mobileClient struct {
	syncHeaders     []string
	identityHeaders []string
	signed          []string // patterns of the headers it signs, in lower case
	reads           map[string][]reading
}

// reading is something that a client reads of an answer.
type reading struct {
	place  string // of its line
	member string // such as Records[0].Key, or header and its name
	want   string // a type, a JSON value, or "-> name" to keep it
	reason string // the client's line that reads it
}

// mobileExchange is a request, and what the client reads of the answer.
type mobileExchange struct {
	place     string
	title     string
	operation string
	method    string
	target    string
	headers   []string      // besides those of all requests
	clock     time.Duration // by how much the phone's is wrong
	body      string
	status    int
	reads     []reading
}

// fixtureLine is a line of a fixture that is no comment.
type fixtureLine struct{ place, text string }

func readFixture(t *testing.T, path string) []fixtureLine {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []fixtureLine
	for i, line := range strings.Split(string(text), "\n") {
		if line = strings.TrimSpace(line); line == "#" || strings.HasPrefix(line, "# ") {
			continue
		}
		lines = append(lines, fixtureLine{fmt.Sprintf("%s:%d:", path, i+1), line})
	}
	return lines
}

// The sections of client.txt that are no operations' names.
const (
	syncSection     = "requests to Cognito Sync"
	identitySection = "requests to Cognito Identity"
	signedSection   = "signed headers"
	answersSection  = "every answer"
	syncFaults      = "faults of Cognito Sync"
	identityFaults  = "faults of Cognito Identity"
)

func readMobileClient(t *testing.T, name string) *mobileClient {
	t.Helper()
	c := &mobileClient{reads: map[string][]reading{}}
	section := ""
	for _, line := range readFixture(t, filepath.Join("testdata", name, "client.txt")) {
		if head, found := strings.CutPrefix(line.text, "["); found {
			section = strings.TrimSuffix(head, "]")
			continue
		}
		switch {
		case line.text == "":
		case section == syncSection:
			c.syncHeaders = append(c.syncHeaders, line.text)
		case section == identitySection:
			c.identityHeaders = append(c.identityHeaders, line.text)
		case section == signedSection:
			c.signed = append(c.signed, line.text)
		default:
			c.reads[section] = append(c.reads[section], readReading(t, line))
		}
	}
	return c
}

var columns = regexp.MustCompile(`\s{2,}`)

// readReading reads a line of three columns. The last, which says why, is not
// left out.
func readReading(t *testing.T, line fixtureLine) reading {
	t.Helper()
	f := columns.Split(line.text, 3)
	if len(f) != 3 || !strings.HasPrefix(f[2], "# ") {
		t.Fatalf("%s must be a member, what it must be, and # the client's line, with two spaces between them: %q", line.place, line.text)
	}
	return reading{line.place, f[0], f[1], strings.TrimPrefix(f[2], "# ")}
}

// readFlow reads exchanges, each of which is
//
//	### Operation: title
//	METHOD target
//	Header: of this request only
//	Clock: -1h, which is not sent, but the phone's clock is so wrong
//
//	body, whose lines are put together without their indentation
//	=> status
//	member  what it must be  # the client's line
func readFlow(t *testing.T, path string) []mobileExchange {
	t.Helper()
	var flow []mobileExchange
	var part []fixtureLine
	end := func() {
		if len(part) > 0 {
			flow = append(flow, readExchange(t, part))
		}
	}
	for _, line := range readFixture(t, path) {
		if strings.HasPrefix(line.text, "### ") {
			end()
			part = nil
		} else if len(part) == 0 {
			continue
		}
		part = append(part, line)
	}
	end()
	if len(flow) == 0 {
		t.Fatalf("%s has no exchange", path)
	}
	return flow
}

func readExchange(t *testing.T, lines []fixtureLine) mobileExchange {
	t.Helper()
	x := mobileExchange{place: lines[0].place, title: strings.TrimPrefix(lines[0].text, "### ")}
	x.operation, _, _ = strings.Cut(x.title, ":")
	x.method, x.target, _ = strings.Cut(lines[1].text, " ")
	rest := lines[2:]
	var err error
	for ; len(rest) > 0 && rest[0].text != "" && !strings.HasPrefix(rest[0].text, "=> "); rest = rest[1:] {
		wrong, found := strings.CutPrefix(rest[0].text, "Clock: ")
		if !found {
			x.headers = append(x.headers, rest[0].text)
		} else if x.clock, err = time.ParseDuration(wrong); err != nil {
			t.Fatalf("%s %v", rest[0].place, err)
		}
	}
	for ; len(rest) > 0 && !strings.HasPrefix(rest[0].text, "=> "); rest = rest[1:] {
		x.body += rest[0].text
	}
	if len(rest) == 0 {
		t.Fatalf("%s %s has no answer", x.place, x.title)
	}
	if x.status, err = strconv.Atoi(strings.TrimPrefix(rest[0].text, "=> ")); err != nil {
		t.Fatalf("%s %v", rest[0].place, err)
	}
	for _, line := range rest[1:] {
		if line.text != "" {
			x.reads = append(x.reads, readReading(t, line))
		}
	}
	return x
}

// ofIdentity tells the exchanges with Cognito Identity from those with Cognito
// Sync, none of which has the path /.
func (x *mobileExchange) ofIdentity() bool { return x.target == "/" }
