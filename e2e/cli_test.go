package e2e

import (
	"encoding/base64"
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

// cliWalk is the state of TestCLI: its steps build on each other.
type cliWalk struct {
	s              *server
	dev, guest     *cli
	pool, identity string
	id             []string // options that name the identity
	began          time.Time
}

const cliStream = "cli-stream"

// TestCLI walks through the system with the AWS CLI alone.
func TestCLI(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	k := s.key()
	w := &cliWalk{s: s, began: time.Now()}
	for _, step := range []struct {
		name string
		run  func()
	}{
		{"Pool", w.createPool}, {"Stream", w.createStream}, {"Configuration", w.configure}, {"Identity", w.makeIdentity},
		{"Developer", w.developerSyncs}, {"Guest", w.guestSyncs}, {"Datasets", w.datasets}, {"Usage", w.usage},
		{"Shards", w.shards}, {"Records", w.records}, {"Iterators", w.iterators}, {"Large", w.large}, {"Query", w.queries}, {"Delete", w.deleteDataset},
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
	if list := t.aws("cognito-identity", "list-identity-pools", "--max-results", "10"); !strings.Contains(fmt.Sprint(list), w.pool) {
		t.Errorf("%v", list)
	}
	t.fail("ResourceNotFoundException", "cognito-identity", "describe-identity-pool", "--identity-pool-id", region+":00000000-0000-0000-0000-000000000000")
}

func (w *cliWalk) createStream() {
	t := w.dev
	t.aws("kinesis", "create-stream", "--stream-name", cliStream, "--shard-count", "1")
	t.fail("ResourceInUseException", "kinesis", "create-stream", "--stream-name", cliStream, "--shard-count", "1")
	if list := t.aws("kinesis", "list-streams"); fmt.Sprint(list["StreamNames"]) != "["+cliStream+"]" {
		t.Errorf("%v", list)
	}
	d, _ := t.aws("kinesis", "describe-stream", "--stream-name", cliStream)["StreamDescription"].(object)
	if d["StreamStatus"] != "ACTIVE" || d["StreamARN"] != "arn:aws:kinesis:"+region+":"+account+":stream/"+cliStream || d["RetentionPeriodHours"] != 24.0 {
		t.Errorf("%v", d)
	}
	d, _ = t.aws("kinesis", "describe-stream-summary", "--stream-name", cliStream)["StreamDescriptionSummary"].(object)
	if d["OpenShardCount"] != 1.0 || d["StreamName"] != cliStream {
		t.Errorf("%v", d)
	}
	t.fail("ResourceNotFoundException", "kinesis", "describe-stream", "--stream-name", "none")
}

func (w *cliWalk) configure() {
	t := w.dev
	if c := t.aws("cognito-sync", "get-identity-pool-configuration", "--identity-pool-id", w.pool); c["CognitoStreams"] != nil {
		t.Errorf("%v", c)
	}
	streams := object{"StreamName": cliStream, "RoleArn": "arn:aws:iam::" + account + ":role/streams", "StreamingStatus": "ENABLED"}
	for _, args := range [][]string{
		{"set-identity-pool-configuration", "--cognito-streams", string(encode(t.T, streams))}, {"get-identity-pool-configuration"},
	} {
		c := t.aws(append([]string{"cognito-sync", args[0], "--identity-pool-id", w.pool}, args[1:]...)...)
		if fmt.Sprint(c["CognitoStreams"]) != fmt.Sprint(streams) {
			t.Errorf("%s: %v", args[0], c)
		}
	}
	streams["StreamName"] = "none"
	t.fail("InvalidParameterException", "cognito-sync", "set-identity-pool-configuration", "--identity-pool-id", w.pool, "--cognito-streams", string(encode(t.T, streams)))
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

// sync calls an operation on a dataset of the identity.
func (w *cliWalk) call(c *cli, operation, name string, more ...string) object {
	c.Helper()
	return c.aws(slices.Concat([]string{"cognito-sync", operation}, w.id, []string{"--dataset-name", name}, more)...)
}

func (w *cliWalk) update(c *cli, name string, patches ...patch) []record {
	c.Helper()
	token, _ := w.call(c, "list-records", name)["SyncSessionToken"].(string)
	out := w.call(c, "update-records", name, "--sync-session-token", token, "--record-patches", c.file(patches))
	var records struct {
		Records []struct{ Key, LastModifiedBy string }
	}
	decode(c.T, encode(c.T, out), &records)
	var shown []record
	for _, r := range records.Records {
		shown = append(shown, record{Key: r.Key, LastModifiedBy: r.LastModifiedBy})
	}
	return shown
}

func (w *cliWalk) developerSyncs() {
	t := w.dev
	empty := w.call(t, "list-records", "notes")
	if empty["DatasetExists"] != false || empty["Count"] != 0.0 || empty["DatasetSyncCount"] != 0.0 || empty["SyncSessionToken"] == "" {
		t.Errorf("a dataset never written: %v", empty)
	}
	if r := w.update(t, "notes", replace("color", "blue", 0), replace("size", "10", 0)); len(r) != 2 || r[0].LastModifiedBy != account {
		t.Errorf("%+v", r)
	}
}

func (w *cliWalk) guestSyncs() {
	t := w.guest
	if r := w.update(t, "notes", replace("color", "red", 1), remove("size", 1)); len(r) != 2 || r[0].LastModifiedBy != w.identity {
		t.Errorf("%+v", r)
	}
	l := w.call(t, "list-records", "notes", "--last-sync-count", "1")
	if l["DatasetSyncCount"] != 2.0 || l["Count"] != 2.0 {
		t.Errorf("%v", l)
	}
	another := slices.Clone(w.id)
	another[3], _ = t.aws("cognito-identity", "get-id", "--identity-pool-id", w.pool)["IdentityId"].(string)
	t.fail("NotAuthorizedException", slices.Concat([]string{"cognito-sync", "list-records"}, another, []string{"--dataset-name", "notes"})...)
	t.fail("NotAuthorizedException", slices.Concat([]string{"cognito-sync", "list-datasets"}, another)...)
	token, _ := w.call(t, "list-records", "notes")["SyncSessionToken"].(string)
	t.fail("ResourceConflictException", slices.Concat([]string{"cognito-sync", "update-records"}, w.id,
		[]string{"--dataset-name", "notes", "--sync-session-token", token, "--record-patches", t.file([]patch{replace("color", "green", 1)})})...)
}

func (w *cliWalk) datasets() {
	t := w.guest
	d, _ := w.call(t, "describe-dataset", "notes")["Dataset"].(object)
	if d["DatasetName"] != "notes" || d["NumRecords"] != 1.0 || d["DataStorage"] != 8.0 || d["LastModifiedBy"] != w.identity {
		t.Errorf("%v", d)
	}
	w.update(t, "short-lived", replace("k", "v", 0))
	l := t.aws(append([]string{"cognito-sync", "list-datasets"}, w.id...)...)
	if sets, _ := l["Datasets"].([]any); len(sets) != 2 || l["Count"] != 2.0 {
		t.Errorf("%v", l)
	}
}

func (w *cliWalk) usage() {
	t := w.dev
	u, _ := t.aws(append([]string{"cognito-sync", "describe-identity-usage"}, w.id...)...)["IdentityUsage"].(object)
	if u["DatasetCount"] != 2.0 || u["DataStorage"] != 10.0 {
		t.Errorf("%v", u)
	}
	eventually(t.T, 10*time.Second, func() error { // a pool's figures may be a second behind
		u, _ := t.aws("cognito-sync", "describe-identity-pool-usage", "--identity-pool-id", w.pool)["IdentityPoolUsage"].(object)
		if u["DataStorage"] != 10.0 {
			return fmt.Errorf("pool usage %v", u)
		}
		return nil
	})
	l := t.aws("cognito-sync", "list-identity-pool-usage")
	if pools, _ := l["IdentityPoolUsages"].([]any); len(pools) != 1 || l["Count"] != 1.0 {
		t.Errorf("%v", l)
	}
}

func (w *cliWalk) shards() {
	t := w.dev
	l := t.aws("kinesis", "list-shards", "--stream-name", cliStream)
	shards, _ := l["Shards"].([]any)
	if len(shards) != 1 {
		t.Fatalf("%v", l)
	}
	s, _ := shards[0].(object)
	if s["ShardId"] != "shardId-000000000000" || fmt.Sprint(s["HashKeyRange"]) != "map[EndingHashKey:340282366920938463463374607431768211455 StartingHashKey:0]" {
		t.Errorf("%v", s)
	}
}

// get gives the events that an iterator shows.
func (w *cliWalk) get(iterator ...string) []event {
	t := w.dev
	t.Helper()
	it, _ := t.aws(append([]string{"kinesis", "get-shard-iterator", "--stream-name", cliStream, "--shard-id", "shardId-000000000000"}, iterator...)...)["ShardIterator"].(string)
	var page struct {
		Records []struct{ SequenceNumber, PartitionKey, Data string }
	}
	decode(t.T, encode(t.T, t.aws("kinesis", "get-records", "--shard-iterator", it)), &page)
	events := make([]event, len(page.Records))
	for i, r := range page.Records {
		events[i].sequence, events[i].partitionKey = r.SequenceNumber, r.PartitionKey
		data, err := base64.StdEncoding.DecodeString(r.Data)
		if err != nil {
			t.Fatal(err)
		}
		decode(t.T, data, &events[i])
	}
	return events
}

func (w *cliWalk) records() {
	t := w.dev
	events := w.get("--shard-iterator-type", "TRIM_HORIZON")
	if len(events) != 3 {
		t.Fatalf("%d events: %+v", len(events), events)
	}
	e := events[1]
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

func (w *cliWalk) iterators() {
	t := w.dev
	all := w.get("--shard-iterator-type", "TRIM_HORIZON")
	for _, c := range []struct {
		want []event
		args []string
	}{
		{nil, []string{"LATEST"}},
		{all[1:], []string{"AT_SEQUENCE_NUMBER", "--starting-sequence-number", all[1].sequence}},
		{all[2:], []string{"AFTER_SEQUENCE_NUMBER", "--starting-sequence-number", all[1].sequence}},
		{all, []string{"AT_TIMESTAMP", "--timestamp", w.began.Add(-time.Hour).UTC().Format(time.RFC3339)}},
	} {
		t.Run(c.args[0], func(t *testing.T) {
			t.Parallel()
			sub := *w.dev
			sub.T = t
			have := (&cliWalk{dev: &sub}).get(append([]string{"--shard-iterator-type"}, c.args...)...)
			if len(have) != len(c.want) || len(have) > 0 && have[0].sequence != c.want[0].sequence {
				t.Errorf("%d events, expected %d", len(have), len(c.want))
			}
		})
	}
	t.fail("InvalidArgumentException", "kinesis", "get-records", "--shard-iterator", "nonsense")
	t.fail("ResourceNotFoundException", "kinesis", "get-shard-iterator", "--stream-name", cliStream, "--shard-id", "shardId-000000000009", "--shard-iterator-type", "LATEST")
}

// large sends an update of 200 KB: its event carries a link.
func (w *cliWalk) large() {
	t := w.dev
	patches := make([]patch, 200)
	for i := range patches {
		patches[i] = replace(fmt.Sprintf("key-%d", i), strings.Repeat(fmt.Sprintf("%d \"é\" ", i), 1000)[:1024], 0)
	}
	w.update(w.guest, "large", patches...)
	events := w.get("--shard-iterator-type", "TRIM_HORIZON")
	e := events[len(events)-1]
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
	s.awaitRows(w.pool, 2+2+1+200, 5*time.Second)
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
	d, _ := w.call(t, "delete-dataset", "notes")["Dataset"].(object)
	if d["DatasetName"] != "notes" || d["NumRecords"] != 1.0 {
		t.Errorf("%v", d)
	}
	again := slices.Concat([]string{"cognito-sync", "delete-dataset"}, w.id, []string{"--dataset-name", "notes"})
	t.fail("ResourceNotFoundException", again...)
	again[1] = "describe-dataset"
	t.fail("ResourceNotFoundException", again...)
	l := w.call(t, "list-records", "notes", "--last-sync-count", "2")
	if l["DatasetExists"] != false || l["DatasetSyncCount"] != 3.0 || l["DatasetDeletedAfterRequestedSyncCount"] != true {
		t.Errorf("%v", l)
	}
	events := w.get("--shard-iterator-type", "TRIM_HORIZON")
	if e := events[len(events)-1]; e.Operation != "remove" || e.SyncCount != 3 || len(e.KinesisSyncRecords) != 0 {
		t.Errorf("%+v", e)
	}
	s.awaitRows(w.pool, 2+2+1+200+1, 5*time.Second) // one for the key that was current
	notes := dataset{w.pool, w.identity, "notes"}
	if rows := s.query("SELECT key FROM cognito_current_state WHERE " + notes.where()); len(rows) != 0 {
		t.Errorf("current state %v", rows)
	}
}
