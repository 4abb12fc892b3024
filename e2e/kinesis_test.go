package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

const streamRole = "arn:aws:iam::" + account + ":role/streams"

// streamConfig is the setting of a pool's stream on the wire.
type streamConfig struct {
	StreamName, RoleArn, StreamingStatus, DisabledReason string
}

// sendTo sets where a pool's changes go; "" keeps what is set.
func (c *caller) sendTo(t *testing.T, pool, stream, role, status string) {
	t.Helper()
	in := object{"StreamingStatus": status}
	if stream != "" {
		in["StreamName"], in["RoleArn"] = stream, role
	}
	c.rest(t, "POST", "/identitypools/"+url.PathEscape(pool)+"/configuration", object{"CognitoStreams": in}, nil)
}

func (c *caller) streaming(t *testing.T, pool string) streamConfig {
	t.Helper()
	var out struct{ CognitoStreams streamConfig }
	c.rest(t, "GET", "/identitypools/"+url.PathEscape(pool)+"/configuration", nil, &out)
	return out.CognitoStreams
}

// newOutServer starts a server whose streams are at a Kinesis of others.
func newOutServer(t *testing.T, kinesis string, args ...string) *server {
	t.Helper()
	s := newServer(t, append([]string{"--identity-rate", "0", "--kinesis", kinesis}, args...)...)
	s.env = append(s.env, otherEnvironment()...)
	s.start()
	return s
}

// TestKinesis sends the changes of pools to streams at servers of others, and
// reads them there: shared streams, streams off and on by a person, and pools
// that move.
func TestKinesis(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) string{"Kinesalite": startKinesalite, "Moto": startMoto} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := start(t)
			k := kinesisAt(at)
			makeStream(t, k, "far", 2)
			makeStream(t, k, "other", 1)
			sts := "none"
			if name == "Moto" { // which has the roles too
				sts = at
			}
			s := newOutServer(t, at, "--sts-endpoint", sts)
			dev := s.developer()
			one, two := dev.newPool(t, "one"), dev.newPool(t, "two")
			a, b := dev.newGuest(t, one), dev.newGuest(t, two)
			dev.sync(t, a.dataset("d"), replace("before", "never sent", 0))
			dev.sendTo(t, one, "far", streamRole, "ENABLED")
			dev.sendTo(t, two, "far", streamRole, "ENABLED")
			far, other := newReader(t, k, "far"), newReader(t, k, "other")
			dev.sync(t, a.dataset("d"), replace("k", "1", 0))
			dev.sync(t, b.dataset("d"), replace("k", "1", 0))
			events := far.await(t, 2)
			for _, e := range events {
				if e.partitionKey != e.IdentityID || e.PayloadType != "Inline" || len(e.KinesisSyncRecords) != 1 || *e.KinesisSyncRecords[0].Value != "1" {
					t.Errorf("the event is %+v", e)
				}
			}
			if events[0].IdentityPoolID == events[1].IdentityPoolID {
				t.Error("the pools do not share the stream")
			}
			// Off by a person: nothing is sent, then or later.
			dev.sendTo(t, one, "", "", "DISABLED")
			dev.sync(t, a.dataset("d"), replace("k", "2", 2))
			dev.sync(t, b.dataset("d"), replace("k", "2", 1))
			dev.sendTo(t, one, "", "", "ENABLED")
			dev.sync(t, a.dataset("d"), replace("k", "3", 3))
			events = far.await(t, 2)
			for _, e := range events {
				if e.IdentityID == a.identity && e.SyncCount != 4 {
					t.Errorf("sync count %d of the pool that was off", e.SyncCount)
				}
			}
			// To another stream.
			dev.sendTo(t, one, "other", streamRole, "ENABLED")
			dev.sync(t, a.dataset("d"), replace("k", "4", 4))
			if e := other.await(t, 1)[0]; e.IdentityID != a.identity || e.SyncCount != 5 {
				t.Errorf("the other stream got %+v", e)
			}
			if more := far.read(t); len(more) > 0 || len(events) != 2 {
				t.Errorf("the first one has %d events more", len(more)+len(events)-2)
			}
			metrics := s.metrics()
			for _, want := range []string{`tributary_kinesis_records_total{region="us-east-1",role="` + streamRole + `",stream="far"} 4`, `tributary_kinesis_lag_seconds{region="us-east-1",role="` + streamRole + `",stream="far"} 0`, `tributary_kinesis_off{region="us-east-1",role="` + streamRole + `",stream="far"} 0`} {
				if !strings.Contains(metrics, want) {
					t.Errorf("the metrics lack %s", want)
				}
			}
		})
	}
}

// metrics reads /metrics.
func (s *server) metrics() string {
	s.t.Helper()
	c := newCaller(s.url, "", "", "")
	r, err := http.NewRequest("GET", s.url+"/metrics", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	a, err := c.send(r)
	if err != nil || a.status != http.StatusOK {
		s.t.Fatal(errorOf("metrics", a, err))
	}
	return string(a.body)
}

// TestKinesisGone: a stream that is deleted turns itself off with a reason, and
// goes on where it stopped when it is there and turned on again, for all pools
// that share it.
func TestKinesisGone(t *testing.T) {
	t.Parallel()
	at := startKinesalite(t)
	k := kinesisAt(at)
	s := newOutServer(t, at, "--sts-endpoint", "none")
	dev := s.developer()
	one, two := dev.newPool(t, "one"), dev.newPool(t, "two")
	a, b := dev.newGuest(t, one), dev.newGuest(t, two)
	dev.sendTo(t, one, "late", streamRole, "ENABLED")
	dev.sendTo(t, two, "late", streamRole, "ENABLED")
	dev.sync(t, a.dataset("d"), replace("k", "1", 0))
	off := func(pool string) {
		t.Helper()
		eventually(t, 2*time.Minute, func() error {
			c := dev.streaming(t, pool)
			if c.StreamingStatus != "DISABLED" || !strings.HasPrefix(c.DisabledReason, "Stream late does not exist in us-east-1") || !strings.Contains(c.DisabledReason, "set StreamingStatus to ENABLED") {
				return fmt.Errorf("the pool's stream is %+v", c)
			}
			return nil
		})
	}
	off(one)
	off(two)
	dev.sync(t, a.dataset("d"), replace("k", "2", 1)) // kept
	dev.sync(t, b.dataset("d"), replace("k", "1", 0))
	s.restart()
	dev = s.developer()
	dev.sync(t, a.dataset("d"), replace("k", "3", 2))
	makeStream(t, k, "late", 1)
	if !strings.Contains(s.metrics(), `tributary_kinesis_off{region="us-east-1",role="`+streamRole+`",stream="late"} 1`) {
		t.Error("the metrics do not say that the stream is off")
	}
	dev.sendTo(t, two, "", "", "ENABLED")
	if c := dev.streaming(t, one); c.StreamingStatus != "ENABLED" || c.DisabledReason != "" {
		t.Errorf("the pool that shares the stream is %+v", c)
	}
	checkCounts(t, newReader(t, k, "late").await(t, 4), map[dataset]int64{a.dataset("d"): 3, b.dataset("d"): 1})
}

// checkCounts wants the sync counts of each dataset to rise without a gap from
// 1, repeats left out. It gives how many repeats there were.
func checkCounts(t *testing.T, events []event, want map[dataset]int64) (repeats int) {
	t.Helper()
	seen := map[dataset]int64{}
	for _, e := range events {
		d := dataset{e.IdentityPoolID, e.IdentityID, e.DatasetName}
		switch {
		case e.SyncCount <= seen[d]:
			repeats++
		case e.SyncCount == seen[d]+1:
			seen[d]++
		default:
			t.Fatalf("%v: sync count %d follows %d", d, e.SyncCount, seen[d])
		}
	}
	for d, n := range want {
		if seen[d] != n {
			t.Errorf("%v: the last sync count is %d, want %d", d, seen[d], n)
		}
	}
	return repeats
}

// TestKinesisHangs: no sync waits for a Kinesis that does not answer. Its calls
// are let go only when all syncs were answered.
func TestKinesisHangs(t *testing.T) {
	t.Parallel()
	at := startKinesalite(t)
	makeStream(t, kinesisAt(at), "slow", 1)
	gate, asked := make(chan struct{}), make(chan struct{}, 1000)
	open := sync.OnceFunc(func() { close(gate) })
	defer open()
	p := newFaultProxy(t, at)
	p.decide = func(*http.Request) kinesisFault {
		asked <- struct{}{}
		<-gate
		return noFault
	}
	s := newOutServer(t, p.url, "--sts-endpoint", "none")
	dev := s.developer()
	pool := dev.newPool(t, "p")
	dev.sendTo(t, pool, "slow", streamRole, "ENABLED")
	a := dev.newGuest(t, pool)
	dev.sync(t, a.dataset("d"), replace("k", "v", 0))
	<-asked
	const more = 300
	for n := range int64(more) {
		dev.sync(t, a.dataset("d"), replace("k", "v", n+1))
	}
	s.healthy()
	open()
	checkCounts(t, newReader(t, kinesisAt(at), "slow").await(t, more+1), map[dataset]int64{a.dataset("d"): more + 1})
}

// TestKinesisRole: a role that cannot be assumed turns the stream off, and one
// that can again is assumed anew.
func TestKinesisRole(t *testing.T) {
	t.Parallel()
	at := startMoto(t)
	makeStream(t, kinesisAt(at), "far", 1)
	var mu sync.Mutex
	denied, sessions := true, map[string]int{}
	sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := readAll(t, r)
		form, err := url.ParseQuery(string(body))
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		sessions[form.Get("Action")+" "+form.Get("RoleArn")+" "+form.Get("RoleSessionName")]++
		deny := denied
		mu.Unlock()
		if deny {
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprint(w, `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User is not authorized to perform: sts:AssumeRole</Message></Error><RequestId>r</RequestId></ErrorResponse>`)
			return
		}
		forward(t, w, r, at, body)
	}))
	defer sts.Close()
	s := newOutServer(t, at, "--sts-endpoint", sts.URL)
	dev := s.developer()
	pool := dev.newPool(t, "p")
	dev.sendTo(t, pool, "far", streamRole, "ENABLED")
	a := dev.newGuest(t, pool)
	dev.sync(t, a.dataset("d"), replace("k", "v", 0))
	eventually(t, 2*time.Minute, func() error {
		if c := dev.streaming(t, pool); c.StreamingStatus != "DISABLED" || !strings.HasPrefix(c.DisabledReason, "Role "+streamRole+" cannot be assumed (AccessDenied: User is not authorized") {
			return fmt.Errorf("the pool's stream is %+v", c)
		}
		return nil
	})
	mu.Lock()
	denied = false
	mu.Unlock()
	dev.sendTo(t, pool, "", "", "ENABLED")
	checkCounts(t, newReader(t, kinesisAt(at), "far").await(t, 1), map[dataset]int64{a.dataset("d"): 1})
	mu.Lock()
	defer mu.Unlock()
	if sessions["AssumeRole "+streamRole+" tributary-far"] == 0 || len(sessions) != 1 {
		t.Errorf("STS was asked for %v", sessions)
	}
}
