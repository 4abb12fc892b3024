package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// cli is the AWS CLI of the virtual environment, never the machine's own.
type cli struct {
	*testing.T
	python string
	env    []string
}

func newCLI(t *testing.T, url, id, secret, token string) *cli {
	t.Helper()
	env := environment(t, "AWS_ENDPOINT_URL="+url, "AWS_ACCESS_KEY_ID="+id, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_DEFAULT_REGION="+region,
		"AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1")
	if token != "" {
		env = append(env, "AWS_SESSION_TOKEN="+token)
	}
	return &cli{t, built(t, "venv", "bin", "python"), env}
}

// aws runs a command, which must succeed, and gives what it printed.
func (c *cli) aws(args ...string) object {
	c.Helper()
	r := runCommand(c.T, c.env, c.python, append([]string{"-m", "awscli", "--output", "json"}, args...)...)
	if r.code != 0 {
		c.Fatalf("aws %s: %v", strings.Join(args[:2], " "), r)
	}
	out := object{}
	if r.stdout != "" {
		decode(c.T, []byte(r.stdout), &out)
	}
	return out
}

// fail runs a command, which must fail with a code of AWS's.
func (c *cli) fail(code string, args ...string) {
	c.Helper()
	r := runCommand(c.T, c.env, c.python, append([]string{"-m", "awscli"}, args...)...)
	if r.code == 0 || !strings.Contains(r.stderr, "An error occurred ("+code+")") {
		c.Errorf("aws %s: expected %s: %v", strings.Join(args[:2], " "), code, r)
	}
}

// file writes a JSON argument to a file.
func (c *cli) file(v any) string {
	c.Helper()
	path := filepath.Join(c.TempDir(), "argument.json")
	if err := os.WriteFile(path, encode(c.T, v), 0o600); err != nil {
		c.Fatal(err)
	}
	return "file://" + path
}

// cliWalk is the state of TestCLI: its steps build on each other. A call of
// the AWS CLI takes as long as hundreds of a library's, so it makes those of
// the README and a few errors; the other clients' tests know the rest.
type cliWalk struct {
	s              *server
	dev, guest     *cli
	pool, identity string
	id             []string // options that name the identity
	token          string   // session token of the notes
	began          time.Time
}

const cliStream = "cli-stream"

// TestCLI walks through the system with the AWS CLI.
func TestCLI(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	k := s.key()
	w := &cliWalk{s: s, began: time.Now()}
	for _, step := range []struct {
		name string
		run  func()
	}{
		{"Pool", w.createPool}, {"Stream", w.createStream}, {"Identity", w.makeIdentity}, {"Developer", w.developerSyncs}, {"Guest", w.guestSyncs},
		{"Datasets", w.datasets}, {"Records", w.records}, {"Large", w.large}, {"Query", w.queries}, {"Delete", w.deleteDataset},
	} {
		done := t.Run(step.name, func(t *testing.T) {
			w.dev = newCLI(t, s.url, k.id, k.secret, "")
			if w.guest != nil {
				w.guest.T = t
			}
			step.run()
		})
		if !done {
			t.Fatal("the steps after this one need it")
		}
	}
}

func (w *cliWalk) createPool() {
	t := w.dev
	pool := t.aws("cognito-identity", "create-identity-pool", "--identity-pool-name", "my app", "--allow-unauthenticated-identities")
	w.pool, _ = pool["IdentityPoolId"].(string)
	if !strings.HasPrefix(w.pool, region+":") || pool["IdentityPoolName"] != "my app" || pool["AllowUnauthenticatedIdentities"] != true {
		t.Fatalf("%v", pool)
	}
}

func (w *cliWalk) createStream() {
	t := w.dev
	t.aws("kinesis", "create-stream", "--stream-name", cliStream, "--shard-count", "1")
	d, _ := t.aws("kinesis", "describe-stream", "--stream-name", cliStream)["StreamDescription"].(object)
	if d["StreamStatus"] != "ACTIVE" || d["StreamARN"] != "arn:aws:kinesis:"+region+":"+account+":stream/"+cliStream || d["RetentionPeriodHours"] != 24.0 {
		t.Errorf("%v", d)
	}
	// The shorthand of the README; the role is left out.
	c := t.aws("cognito-sync", "set-identity-pool-configuration", "--identity-pool-id", w.pool, "--cognito-streams", "StreamName="+cliStream)
	if streams, _ := c["CognitoStreams"].(object); streams["StreamName"] != cliStream || streams["StreamingStatus"] != "ENABLED" {
		t.Errorf("%v", c)
	}
}

func (w *cliWalk) makeIdentity() {
	t := w.dev
	w.identity, _ = t.aws("cognito-identity", "get-id", "--identity-pool-id", w.pool)["IdentityId"].(string)
	w.id = []string{"--identity-pool-id", w.pool, "--identity-id", w.identity}
	c, _ := t.aws("cognito-identity", "get-credentials-for-identity", "--identity-id", w.identity)["Credentials"].(object)
	text := func(name string) string { v, _ := c[name].(string); return v }
	w.guest = newCLI(t.T, w.s.url, text("AccessKeyId"), text("SecretKey"), text("SessionToken"))
	until, _ := c["Expiration"].(float64)
	if left := time.Until(time.Unix(int64(until), 0)); left < 50*time.Minute || left > 70*time.Minute {
		t.Errorf("the credentials are good for %v", left)
	}
}

// notes names an operation on the notes of the identity.
func (w *cliWalk) notes(operation string, more ...string) []string {
	return slices.Concat([]string{"cognito-sync", operation}, w.id, []string{"--dataset-name", "notes"}, more)
}

// list lists the notes and keeps their session token.
func (w *cliWalk) list(c *cli, more ...string) object {
	c.Helper()
	l := c.aws(w.notes("list-records", more...)...)
	w.token, _ = l["SyncSessionToken"].(string)
	return l
}

// update names an update of the notes.
func (w *cliWalk) update(c *cli, patches ...patch) []string {
	return w.notes("update-records", "--sync-session-token", w.token, "--record-patches", c.file(patches))
}

// changedBy wants an update to give so many records, all changed by someone.
func changedBy(t *cli, updated object, n int, who string) {
	t.Helper()
	records, _ := updated["Records"].([]any)
	if len(records) != n {
		t.Errorf("%v", updated)
	}
	for _, r := range records {
		if r, _ := r.(object); r["LastModifiedBy"] != who {
			t.Errorf("%v, not by %s", r, who)
		}
	}
}

func (w *cliWalk) developerSyncs() {
	t := w.dev
	empty := w.list(t)
	if empty["DatasetExists"] != false || empty["Count"] != 0.0 || empty["DatasetSyncCount"] != 0.0 || w.token == "" {
		t.Errorf("a dataset never written: %v", empty)
	}
	changedBy(t, t.aws(w.update(t, replace("color", "blue", 0), replace("size", "10", 0))...), 2, account)
}

func (w *cliWalk) guestSyncs() {
	t := w.guest
	w.list(t)
	changedBy(t, t.aws(w.update(t, replace("color", "red", 1), remove("size", 1))...), 2, w.identity)
	l := w.list(t, "--last-sync-count", "1")
	if l["DatasetSyncCount"] != 2.0 || l["Count"] != 2.0 {
		t.Errorf("%v", l)
	}
	t.fail("ResourceConflictException", w.update(t, replace("color", "green", 1))...)
	another := w.s.in(t.T).developer().newGuest(t.T, w.pool)
	t.fail("NotAuthorizedException", "cognito-sync", "list-datasets", "--identity-pool-id", w.pool, "--identity-id", another.identity)
}

func (w *cliWalk) datasets() {
	t := w.guest
	l := t.aws(append([]string{"cognito-sync", "list-datasets"}, w.id...)...)
	sets, _ := l["Datasets"].([]any)
	if len(sets) != 1 || l["Count"] != 1.0 {
		t.Fatalf("%v", l)
	}
	if d, _ := sets[0].(object); d["DatasetName"] != "notes" || d["NumRecords"] != 1.0 || d["DataStorage"] != 8.0 || d["LastModifiedBy"] != w.identity {
		t.Errorf("%v", d)
	}
	u, _ := w.dev.aws(append([]string{"cognito-sync", "describe-identity-usage"}, w.id...)...)["IdentityUsage"].(object)
	if u["DatasetCount"] != 1.0 || u["DataStorage"] != 8.0 {
		t.Errorf("%v", u)
	}
}

func (w *cliWalk) records() {
	t := w.dev
	it, _ := t.aws("kinesis", "get-shard-iterator", "--stream-name", cliStream, "--shard-id", "shardId-000000000000", "--shard-iterator-type", "TRIM_HORIZON")["ShardIterator"].(string)
	var page struct {
		Records []struct {
			PartitionKey string
			Data         []byte
		}
	}
	decode(t.T, encode(t.T, t.aws("kinesis", "get-records", "--shard-iterator", it)), &page)
	if len(page.Records) != 2 {
		t.Fatalf("%+v", page)
	}
	e := event{partitionKey: page.Records[1].PartitionKey}
	decode(t.T, page.Records[1].Data, &e)
	if e.IdentityPoolID != w.pool || e.IdentityID != w.identity || e.partitionKey != w.identity || e.DatasetName != "notes" || e.DocumentedName != "notes" ||
		e.Operation != "replace" || e.PayloadType != "Inline" || e.SyncCount != 2 || len(e.KinesisSyncRecords) != 2 {
		t.Fatalf("%+v", e)
	}
	first, second := e.KinesisSyncRecords[0], e.KinesisSyncRecords[1]
	if first.Key != "color" || *first.Value != "red" || first.Op != "replace" || first.SyncCount != 2 || second.Key != "size" || second.Op != "remove" || second.Value != nil {
		t.Errorf("%+v", e.KinesisSyncRecords)
	}
	for name, at := range map[string]int64{"event": e.LastModifiedDate, "record": first.LastModifiedDate, "device": first.DeviceLastModifiedDate} {
		if when := time.UnixMilli(at); when.Before(w.began.Add(-time.Second)) || when.After(time.Now().Add(time.Second)) {
			t.Errorf("date of the %s is %v", name, when)
		}
	}
}

// lastEvent reads the stream by other means.
func (w *cliWalk) lastEvent() event {
	events := w.s.in(w.dev.T).developer().readStream(w.dev.T, cliStream)
	return events[len(events)-1]
}

// large sends an update of 200 KB: its event carries a link.
func (w *cliWalk) large() {
	t := w.dev
	patches := make([]patch, 200)
	for i := range patches {
		patches[i] = replace(fmt.Sprintf("key-%d", i), strings.Repeat(fmt.Sprintf("%d \"é\" ", i), 1000)[:1024], 0)
	}
	w.s.in(t.T).developer().sync(t.T, dataset{w.pool, w.identity, "large"}, patches...)
	e := w.lastEvent()
	if e.PayloadType != "S3Url" || e.DatasetName != "large" || len(e.KinesisSyncRecords) != 0 || !strings.Contains(e.KinesisSyncRecordsURL, "X-Amz-Signature=") {
		t.Fatalf("%s, %d records, link %s", e.PayloadType, len(e.KinesisSyncRecords), e.KinesisSyncRecordsURL)
	}
	answer, err := http.Get(e.KinesisSyncRecordsURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	var records []eventRecord
	if err != nil || answer.StatusCode != http.StatusOK || json.Unmarshal(body, &records) != nil {
		t.Fatalf("status %d, %v: %s", answer.StatusCode, err, clip(string(body)))
	}
	if len(body) < 200<<10 || len(records) != len(patches) {
		t.Fatalf("%d bytes, %d records", len(body), len(records))
	}
	for i, r := range records {
		if r.Key != patches[i].Key || r.Value == nil || *r.Value != strings.ToValidUTF8(*patches[i].Value, "\uFFFD") || r.Op != "replace" || r.SyncCount != 1 {
			t.Fatalf("record %d: %s", i, clip(fmt.Sprint(r)))
		}
	}
	other, err := http.Get(strings.Replace(e.KinesisSyncRecordsURL, "X-Amz-Signature=", "X-Amz-Signature=0", 1))
	if err != nil {
		t.Fatal(err)
	}
	if _ = other.Body.Close(); other.StatusCode != http.StatusForbidden {
		t.Errorf("a forged link: status %d", other.StatusCode)
	}
}

func (w *cliWalk) queries() {
	t := w.dev
	s := w.s.in(t.T)
	s.awaitRows(w.pool, 2+2+200, 5*time.Second)
	notes := dataset{w.pool, w.identity, "notes"}
	rows := s.query("SELECT key, value, op, syncCount FROM cognito_raw_data WHERE " + notes.where() + " ORDER BY syncCount, key")
	if fmt.Sprint(rows) != "[[color blue replace 1] [size 10 replace 1] [color red replace 2] [size  remove 2]]" {
		t.Errorf("raw rows %v", rows)
	}
	rows = s.query("SELECT key, value, syncCount FROM cognito_current_state WHERE " + notes.where())
	if fmt.Sprint(rows) != "[[color red 2]]" {
		t.Errorf("current state %v", rows)
	}
	published, err := os.ReadFile(filepath.Join("testdata", "published.sql"))
	if err != nil {
		t.Fatal(err)
	}
	sql := strings.NewReplacer("IDENTITY_ID", w.identity, "DATASET_NAME", "notes").Replace(string(published))
	if rows = s.query(sql); fmt.Sprint(rows) != fmt.Sprintf("[[%s notes color 2 red]]", w.identity) {
		t.Errorf("the published query gives %v", rows)
	}
}

func (w *cliWalk) deleteDataset() {
	t := w.guest
	s := w.s.in(t.T)
	d, _ := t.aws(w.notes("delete-dataset")...)["Dataset"].(object)
	if d["DatasetName"] != "notes" || d["NumRecords"] != 1.0 {
		t.Errorf("%v", d)
	}
	t.fail("ResourceNotFoundException", w.notes("describe-dataset")...)
	l := w.list(t, "--last-sync-count", "2")
	if l["DatasetExists"] != false || l["DatasetSyncCount"] != 3.0 || l["DatasetDeletedAfterRequestedSyncCount"] != true {
		t.Errorf("%v", l)
	}
	if e := w.lastEvent(); e.Operation != "remove" || e.SyncCount != 3 || len(e.KinesisSyncRecords) != 0 {
		t.Errorf("%+v", e)
	}
	s.awaitRows(w.pool, 2+2+200+1, 5*time.Second) // one for the key that was current
	notes := dataset{w.pool, w.identity, "notes"}
	if rows := s.query("SELECT key FROM cognito_current_state WHERE " + notes.where()); len(rows) != 0 {
		t.Errorf("current state %v", rows)
	}
}
