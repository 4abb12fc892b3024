package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// renewed is what RenewPayloadLink answers.
type renewed struct {
	Link    string
	Expires time.Time
}

func (c *caller) renew(t *testing.T, link string) answer {
	t.Helper()
	return c.do(t, "tributary", "POST", "/_tributary/v1/payload-links", encode(t, object{"Link": link}))
}

// fetch reads a link as any HTTP client does, without credentials.
func fetch(t *testing.T, link string) (status int, records []eventRecord) {
	t.Helper()
	r, err := http.NewRequest("GET", link, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := newCaller("", "", "", "").send(r)
	if err != nil {
		t.Fatal(err)
	}
	if a.status == http.StatusOK {
		decode(t, a.body, &records)
	}
	return a.status, records
}

// TestPayloadBucket: the records of a large update are in the bucket before its
// stream record is at Kinesis, and a reader that comes late gets a new link.
func TestPayloadBucket(t *testing.T) {
	t.Parallel()
	at, bucket := startKinesalite(t), startVersity(t, "payloads")
	makeStream(t, kinesisAt(at), "far", 1)
	s := newOutServer(t, at, "--sts-endpoint", "none", "--payload-bucket", "payloads", "--payload-prefix", "large/", "--s3-endpoint", bucket)
	dev := s.developer()
	pool, inside := dev.newPool(t, "far"), dev.newPool(t, "inside")
	dev.sendTo(t, pool, "far", streamRole, "ENABLED")
	dev.newStream(t, inside, "near", 1)
	a, b := dev.newGuest(t, pool), dev.newGuest(t, inside)
	large := strings.Repeat("x", 200<<10)
	dev.sync(t, a.dataset("d"), replace("k", "small", 0))
	dev.sync(t, a.dataset("d"), replace("k", large, 1))
	dev.sync(t, a.dataset("d"), replace("k", "small", 2))
	dev.sync(t, b.dataset("d"), replace("k", large, 0))
	events := newReader(t, kinesisAt(at), "far").await(t, 3)
	if checkCounts(t, events, map[dataset]int64{a.dataset("d"): 3}); events[1].PayloadType != "S3Url" || events[1].KinesisSyncRecords != nil {
		t.Fatalf("the event is %+v", events[1])
	}
	links := []string{events[1].KinesisSyncRecordsURL, dev.readStream(t, "near")[0].KinesisSyncRecordsURL}
	name := "large/" + pool + "/" + a.identity + "/"
	if u, err := url.Parse(links[0]); err != nil || !strings.HasPrefix(u.Path, "/payloads/"+name) || u.Query().Get("X-Amz-Expires") != "604800" {
		t.Errorf("the link is %s", links[0])
	}
	for _, link := range links {
		old := strings.Replace(link, "X-Amz-Signature=", "X-Amz-Signature=0", 1) // as one that expired
		if status, _ := fetch(t, old); status != http.StatusForbidden {
			t.Errorf("a link with a wrong signature: %d", status)
		}
		for _, shown := range []string{link, old} {
			got := dev.renew(t, shown)
			var out renewed
			if decode(t, got.body, &out); got.status != http.StatusOK || out.Link == "" || time.Until(out.Expires) < time.Hour {
				t.Fatalf("renewed: %d %s", got.status, got.body)
			}
			if status, records := fetch(t, out.Link); status != http.StatusOK || len(records) != 1 || *records[0].Value != large {
				t.Errorf("%s: %d, %d records", out.Link, status, len(records))
			}
		}
	}
	u, _ := url.Parse(links[0]) // it was read above
	if got := dev.renew(t, strings.TrimPrefix(u.Path, "/payloads/")); got.status != http.StatusOK {
		t.Errorf("by the object's name: %d %s", got.status, got.body)
	}
	t.Run("Refused", func(t *testing.T) {
		policy := `{"Statement":{"Effect":"Allow","Action":"tributary:*","Resource":"arn:aws:cognito-sync:*:*:identitypool/` + inside + `"}}`
		body := dev.do(t, "tributary", "POST", "/_tributary/v1/access-keys", encode(t, object{"Name": "limited", "Policy": policy})).body
		var k struct {
			AccessKeyId, SecretAccessKey string
		}
		if err := json.Unmarshal(body, &k); err != nil || k.AccessKeyId == "" {
			t.Fatalf("%s: %v", body, err)
		}
		limited := newCaller(s.url, k.AccessKeyId, k.SecretAccessKey, "")
		if got := limited.renew(t, links[1]); got.status != http.StatusOK {
			t.Errorf("its own pool's: %d %s", got.status, got.body)
		}
		wantFault(t, limited.renew(t, links[0]), 403, "AccessDeniedException", "tributary:RenewPayloadLink")
		wantFault(t, a.renew(t, links[0]), 403, "NotAuthorizedException", "")
		wantFault(t, dev.renew(t, "https://elsewhere.example.org/payloads/x"), 400, "InvalidParameterException", "kinesisSyncRecordsURL")
		wantFault(t, dev.renew(t, "large/../secret"), 400, "InvalidParameterException", "")
		wantFault(t, dev.renew(t, name+strings.Repeat("0", 64)+".json"), 404, "ResourceNotFoundException", "not in the bucket")
		wantFault(t, dev.renew(t, "/_tributary/payload/2/0/49"), 404, "ResourceNotFoundException", "not in the log")
	})
}

// TestPayloadWithoutBucket: without a bucket a large update stays in its record,
// up to what Kinesis takes; what is larger turns the stream off, and is sent
// when there is a bucket.
func TestPayloadWithoutBucket(t *testing.T) {
	t.Parallel()
	at, bucket := startKinesalite(t), startVersity(t, "payloads")
	makeStream(t, kinesisAt(at), "far", 1)
	s := newOutServer(t, at, "--sts-endpoint", "none")
	dev := s.developer()
	pool := dev.newPool(t, "p")
	dev.sendTo(t, pool, "far", streamRole, "ENABLED")
	a := dev.newGuest(t, pool)
	dev.sync(t, a.dataset("d"), replace("k", strings.Repeat("x", 500<<10), 0))
	r := newReader(t, kinesisAt(at), "far")
	events := r.await(t, 1)
	if events[0].PayloadType != "Inline" || len(events[0].KinesisSyncRecords) != 1 {
		t.Errorf("the event is %.300v", events[0])
	}
	dev.sync(t, a.dataset("d"), replace("k", strings.Repeat("\x01", 500<<10), 1)) // six bytes each in JSON
	dev.sync(t, a.dataset("d"), replace("k", "small", 2))
	eventually(t, time.Minute, func() error {
		if c := dev.streaming(t, pool); c.StreamingStatus == "DISABLED" && strings.Contains(c.DisabledReason, "--payload-bucket") {
			return nil
		}
		return errorOf("configuration", answer{}, nil)
	})
	s.args = append(s.args, "--payload-bucket", "payloads", "--s3-endpoint", bucket)
	s.restart()
	dev = s.developer()
	dev.sendTo(t, pool, "", "", "ENABLED")
	events = append(events, r.await(t, 2)...)
	checkCounts(t, events, map[dataset]int64{a.dataset("d"): 3})
	if status, records := fetch(t, events[1].KinesisSyncRecordsURL); status != http.StatusOK || len(records) != 1 {
		t.Errorf("the large update's link: %d, %d records", status, len(records))
	}
}
