package kinesis_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	api "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"tributary"
	"tributary/sink/kinesis"
)

// fakeAWS is no AWS: it gives credentials of roles, and takes records that are
// signed with them.
type fakeAWS struct {
	*testing.T
	mu      sync.Mutex
	lasts   time.Duration // for which credentials are good
	refuse  string        // code by which records are refused
	assumed []string
	signed  []string // by whom records came
}

func (f *fakeAWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.Error(err)
	}
	by, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="), "/20")
	if r.Header.Get("X-Amz-Target") == "" {
		form, err := url.ParseQuery(string(body))
		if err != nil || by != "OWN" {
			f.Errorf("%v, STS is asked by %s", err, by)
		}
		f.assumed = append(f.assumed, form.Get("RoleArn")+" "+form.Get("RoleSessionName")+" "+form.Get("DurationSeconds"))
		_, _ = fmt.Fprintf(w, `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ROLE%d</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`,
			len(f.assumed), time.Now().Add(f.lasts).UTC().Format(time.RFC3339))
		return
	}
	f.signed = append(f.signed, by)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if f.refuse != "" {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"__type":%q,"message":"no"}`, f.refuse)
		return
	}
	_, _ = io.WriteString(w, `{"FailedRecordCount":0,"Records":[{"ShardId":"s","SequenceNumber":"1"}]}`)
}

// TestClients: a role is assumed once for as long as its credentials last, again
// before they end, and again when they are refused.
func TestClients(t *testing.T) {
	for _, c := range []struct {
		name      string
		stream    tributary.StreamName
		lasts     time.Duration
		refuse    string
		noRoles   bool
		as, times string // which session is assumed; who signs the two calls
	}{
		{name: "Lasting", stream: "far", lasts: time.Hour, as: "tributary-far", times: "ROLE1 ROLE1"},
		{name: "Ending", stream: "far", lasts: 2 * time.Minute, as: "tributary-far", times: "ROLE1 ROLE2"},
		{name: "Refused", stream: "far", lasts: time.Hour, refuse: "ExpiredTokenException", as: "tributary-far", times: "ROLE1 ROLE2"},
		{name: "Throttled", stream: "far", lasts: time.Hour, refuse: throttled, as: "tributary-far", times: "ROLE1 ROLE1"},
		{name: "LongName", stream: tributary.StreamName(strings.Repeat("x", 128)), lasts: time.Hour, as: "tributary-" + strings.Repeat("x", 54), times: "ROLE1 ROLE1"},
		{name: "NoRoles", stream: "far", noRoles: true, times: "OWN OWN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := &fakeAWS{T: t, lasts: c.lasts, refuse: c.refuse}
			server := httptest.NewServer(fake)
			defer server.Close()
			clients := &kinesis.Clients{URL: server.URL, STSURL: server.URL, NoRoles: c.noRoles,
				Config: aws.Config{Credentials: credentials.NewStaticCredentialsProvider("OWN", "s", "")}}
			to := target
			to.Name = c.stream
			for range 2 {
				in := &api.PutRecordsInput{StreamName: aws.String(string(to.Name)), Records: []types.PutRecordsRequestEntry{{Data: []byte("x"), PartitionKey: aws.String("p")}}}
				if _, err := clients.For(to).PutRecords(t.Context(), in); err != nil != (c.refuse != "") {
					t.Fatal(err)
				}
			}
			if got := strings.Join(fake.signed, " "); got != c.times {
				t.Errorf("the calls were signed by %s, want %s", got, c.times)
			}
			for _, as := range fake.assumed {
				if want := to.RoleARN + " " + c.as + " 3600"; as != want {
					t.Errorf("assumed %s, want %s", as, want)
				}
			}
		})
	}
}
