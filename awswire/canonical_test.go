package awswire_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"tributary/awswire"
)

// line is one line of a canonical GET request to target.
func line(t *testing.T, n int, target string) string {
	t.Helper()
	r, _ := parseRequest(t, "GET "+target+" HTTP/1.1\nHost: h\n")
	return strings.Split(awswire.CanonicalRequest(r, "host", "", false), "\n")[n]
}

func TestCanonicalPath(t *testing.T) {
	for _, c := range []struct{ target, want string }{
		{"/", "/"},
		{"/us-east-1%3A0", "/us-east-1%253A0"},
		{"/us-east-1%3a0", "/us-east-1%253a0"},
		{"/us-east-1:0", "/us-east-1%3A0"},
		{"/a%2Fb/c", "/a%252Fb/c"},
		{"/a+b*c~d'e", "/a%2Bb%2Ac~d%27e"},
		{"/é", "/%C3%A9"},
		{"//a/./b/", "//a/./b/"},
		{"http://other/a%3Ab?c", "/a%253Ab"},
		{"http://other", "/"},
	} {
		if got := line(t, 1, c.target); got != c.want {
			t.Errorf("%s: %s, want %s", c.target, got, c.want)
		}
	}
}

// TestCanonicalPathOfClient has the path as net/http will send it.
func TestCanonicalPathOfClient(t *testing.T) {
	for target, want := range map[string]string{"": "/", "/a:b%3Ac%2Fd": "/a%3Ab%253Ac%252Fd"} {
		r := newRequest(t, "", target, "")
		r.Method = "" // GET, to net/http
		got := awswire.CanonicalRequest(r, "host", "", false)
		if !strings.HasPrefix(got, "GET\n"+want+"\n\nhost:sync.example.com\n\n") {
			t.Errorf("%q: %q", target, got)
		}
	}
}

func TestPathForms(t *testing.T) {
	for _, c := range []struct {
		path string
		want []string
	}{
		{"/a.b/..c/.d/e.", []string{"/a.b/..c/.d/e."}},
		{"/a//b", []string{"/a//b", "/a/b"}},
		{"/a/./b/../c/", []string{"/a/./b/../c/", "/a/c/"}},
		{"/../..", []string{"/../..", "/"}},
		{"/a/.", []string{"/a/.", "/a/", "/a"}},
		{"/a/b/..", []string{"/a/b/..", "/a/", "/a"}},
		{"/a/%2E%2E/b", []string{"/a/%2E%2E/b"}},
	} {
		if got := awswire.PathForms(c.path); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.path, got, c.want)
		}
	}
}

func TestCanonicalQuery(t *testing.T) {
	for query, want := range map[string]string{
		"":                                  "",
		"a":                                 "a=",
		"a=&b":                              "a=&b=",
		"=v":                                "=v",
		"&&b=1&&a=2&":                       "a=2&b=1",
		"b=2&a=2&b=1&a=1":                   "a=1&a=2&b=1&b=2",
		"a-b=1&a=2&aa=3&a.b=4":              "a=2&a-b=1&a.b=4&aa=3",
		"a=x=y":                             "a=x%3Dy",
		"a=x+y&b=x%20y&c=x%2By":             "a=x%20y&b=x%20y&c=x%2By",
		"a=%e1%88%b4&%C3%A9=%7e%41!*'()":    "%C3%A9=~A%21%2A%27%28%29&a=%E1%88%B4",
		"a=é;b/c?d":                         "a=%C3%A9%3Bb%2Fc%3Fd",
		"a=%":                               "a=%25",
		"a=%4&b=%zz&c=%%41":                 "a=%254&b=%25zz&c=%25A",
		"X-Amz-Signature=1&x-amz-signature": "x-amz-signature=",
	} {
		if got := line(t, 2, "/?"+query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

func TestCanonicalHeaders(t *testing.T) {
	r, _ := parseRequest(t, "POST / HTTP/1.1\nHost: Sync.Example.com:8080\nContent-Length: 2\nEmpty:\nTwo: a\nTwo:\nTwo: b  c\nTabs: \ta\t\tb \nUTF: é\n\n{}")
	names := "content-length;empty;host;missing;tabs;two;utf;" + strings.Repeat("x", 70)
	want := "POST\n/\n\ncontent-length:2\nempty:\nhost:Sync.Example.com:8080\nmissing:\ntabs:a b\ntwo:a,,b c\nutf:é\n" +
		strings.Repeat("x", 70) + ":long\n\n" + names + "\nhash"
	r.Header.Set(strings.Repeat("x", 70), "long")
	if got := awswire.CanonicalRequest(r, names, "hash", false); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	r.Header.Del("Content-Length") // as a client has it
	if got := awswire.CanonicalRequest(r, names, "hash", false); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	r.ContentLength = -1
	if got := awswire.CanonicalRequest(r, "content-length", "", false); !strings.Contains(got, "content-length:\n") {
		t.Errorf("length of a chunked request: %s", got)
	}
	if got := awswire.CanonicalRequest(&http.Request{RequestURI: "/"}, "host", "", false); !strings.Contains(got, "host:\n") {
		t.Errorf("no host: %s", got)
	}
}
