package s3_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"tributary"
	"tributary/sink/s3"
)

// fakeS3 is no S3: it keeps objects in memory and looks at no signature.
type fakeS3 struct {
	mu      sync.Mutex
	objects map[string]string
	puts    int
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch have, there := f.objects[r.URL.Path]; {
	case r.Method == http.MethodPut:
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Content-Type") != "application/json" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		f.objects[r.URL.Path] = string(body)
		f.puts++
	case !there:
		w.WriteHeader(http.StatusNotFound)
	case strings.Contains(have, "broken"):
		w.WriteHeader(http.StatusForbidden)
	case r.Method == http.MethodGet:
		_, _ = io.WriteString(w, have)
	}
}

var key = tributary.DatasetKey{Pool: "us-east-1:aa-11", Identity: "us-east-1:bb-22", Dataset: "d"}

func newBucket(t *testing.T, c aws.Credentials) (*s3.Bucket, *fakeS3) {
	fake := &fakeS3{objects: map[string]string{}}
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	own := aws.Config{Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return c, nil })}
	return &s3.Bucket{Config: own, Region: "us-east-1", URL: server.URL, Name: "payloads", Prefix: "large/"}, fake
}

func TestBucket(t *testing.T) {
	b, fake := newBucket(t, aws.Credentials{AccessKeyID: "k", SecretAccessKey: "s"})
	first, err := b.Put(t.Context(), key, []byte(`["one"]`))
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.Put(t.Context(), key, []byte(`["one"]`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = b.Put(t.Context(), key, []byte(`["two"]`)); err != nil {
		t.Fatal(err)
	}
	if len(fake.objects) != 2 || fake.puts != 3 {
		t.Errorf("%d objects of two updates, one of which came twice", len(fake.objects))
	}
	for _, link := range []string{first, again} {
		r, err := http.Get(link)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil || string(body) != `["one"]` {
			t.Errorf("%s gives %s, %v", link, body, err)
		}
	}
	name, pool, ok := b.Find(first)
	if !ok || pool != key.Pool || !strings.HasPrefix(name, "large/us-east-1:aa-11/us-east-1:bb-22/") {
		t.Fatalf("found %q of %q", name, pool)
	}
	link, until, err := b.Link(t.Context(), name)
	if left := time.Until(until); err != nil || !strings.Contains(link, "X-Amz-Expires=604800") || left > s3.LinkLife || left < s3.LinkLife-time.Minute {
		t.Errorf("%s until %v, %v", link, until, err)
	}
	if _, _, err := b.Link(t.Context(), name+"x"); tributary.KindOf(err) != tributary.NotFound {
		t.Errorf("what is not there: %v", err)
	}
	fake.objects["/payloads/"+name] = "broken"
	if _, _, err := b.Link(t.Context(), name); tributary.KindOf(err) != tributary.Unavailable {
		t.Errorf("what cannot be read: %v", err)
	}
}

// TestPassing: a link ends with the credentials that signed it.
func TestPassing(t *testing.T) {
	end := time.Now().Add(time.Hour)
	b, _ := newBucket(t, aws.Credentials{AccessKeyID: "k", SecretAccessKey: "s", SessionToken: "t", CanExpire: true, Expires: end})
	link, err := b.Put(t.Context(), key, []byte("[]"))
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := b.Find(link)
	if _, until, err := b.Link(t.Context(), name); err != nil || !until.Equal(end) {
		t.Errorf("until %v, %v", until, err)
	}
	if passing, err := b.Passing(t.Context()); err != nil || !passing {
		t.Errorf("%v, %v", passing, err)
	}
}

// TestFind: only what Put makes is found, however it is linked to.
func TestFind(t *testing.T) {
	b, _ := newBucket(t, aws.Credentials{})
	object := "large/us-east-1:aa-11/us-east-1:bb-22/" + strings.Repeat("0", 64) + ".json"
	escaped := strings.ReplaceAll(object, ":", "%3A")
	for link, want := range map[string]bool{
		object: true,
		"https://payloads.s3.us-east-1.amazonaws.com/" + escaped + "?X-Amz-Expires=1": true,
		"http://127.0.0.1:9000/payloads/" + object:                                    true,
		"http://127.0.0.1:9000/other/" + object:                                       false,
		"https://other.s3.amazonaws.com/" + escaped:                                   false,
		"https://payloads.s3.amazonaws.com/large/secret.json":                         false,
		strings.TrimPrefix(object, "large/"):                                          false,
		strings.Replace(object, "us-east-1:bb-22", "../x", 1):                         false,
		object + "/": false,
		"":           false,
		"://":        false,
	} {
		name, pool, ok := b.Find(link)
		if ok != want || ok && (name != object || pool != "us-east-1:aa-11") {
			t.Errorf("%s: %q of %q, %v", link, name, pool, ok)
		}
	}
}
