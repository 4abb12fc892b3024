package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary"
	"tributary/audit"
	"tributary/auth"
	"tributary/awswire"
)

// audited is a server whose calls are audited, and a developer.
type audited struct {
	*testing.T
	*server
	developer awswire.Credentials
}

func newAudited(t *testing.T) *audited {
	t.Helper()
	s := startServer(t, func(c *serveCmd) { c.Warehouse = "none" })
	key, err := readCredentials(filepath.Join(s.cfg.Data, credentialsName))
	if err != nil {
		t.Fatal(err)
	}
	return &audited{t, s, key}
}

// call calls an operation by its target, or by method and path, and gives the
// answer.
func (a *audited) call(service, operation string, in any) (status int, answer map[string]any) {
	a.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		a.Fatal(err)
	}
	method, path, rest := strings.Cut(operation, " ")
	if !rest {
		method, path = "POST", "/"
	}
	r, err := http.NewRequestWithContext(a.Context(), method, a.url()+path, bytes.NewReader(body))
	if err != nil {
		a.Fatal(err)
	}
	if target := map[string]string{"cognito-identity": "AWSCognitoIdentityService.", "kinesis": "Kinesis_20131202."}[service]; !rest {
		r.Header.Set("X-Amz-Target", target+operation)
	}
	awswire.Sign(r, body, a.developer, "us-east-1", service, time.Now())
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		a.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		a.Fatal(err)
	}
	_ = res.Body.Close()
	if err := json.Unmarshal(text, &answer); err != nil {
		a.Fatalf("%s: %s", operation, text)
	}
	return res.StatusCode, answer
}

// obj is a JSON object.
type obj = map[string]any

// TestAudited: every operation of a developer that changes something is an entry
// that says what, and no entry has anything of a user but ids.
func TestAudited(t *testing.T) {
	a := newAudited(t)
	var got, want []string
	does := func(service, operation string, in obj, details ...string) obj {
		t.Helper()
		status, answer := a.call(service, operation, in)
		if status != http.StatusOK {
			t.Fatalf("%s: %d %v", operation, status, answer)
		}
		for i, d := range details { // what the answer names
			details[i] = strings.NewReplacer("<pool>", fmt.Sprint(answer["IdentityPoolId"]), "<identity>", fmt.Sprint(answer["IdentityId"])).Replace(d)
		}
		want = append(want, fmt.Sprintf("%s %q", operation, details))
		return answer
	}
	const identity, role = "cognito-identity", "arn:aws:iam::000000000000:role/user"
	pool := does(identity, "CreateIdentityPool", obj{"IdentityPoolName": "n", "AllowUnauthenticatedIdentities": true, "DeveloperProviderName": "login.app"},
		"PoolID: <pool>", "AllowUnauthenticated: true", "DeveloperProvider: login.app", "Name: n")["IdentityPoolId"].(string)
	does(identity, "UpdateIdentityPool", obj{"IdentityPoolId": pool, "IdentityPoolName": "m", "AllowUnauthenticatedIdentities": true, "DeveloperProviderName": "login.app"}, "Name: m")
	does(identity, "SetIdentityPoolRoles", obj{"IdentityPoolId": pool, "Roles": obj{"authenticated": role}}, "Roles.Authenticated: "+role)
	does(identity, "SetPrincipalTagAttributeMap", obj{"IdentityPoolId": pool, "IdentityProviderName": "p", "PrincipalTags": obj{"team": "dept"}}, "PrincipalTags[p]: UseDefaults false, team=dept")
	tagged := "arn:aws:cognito-identity:us-east-1:000000000000:identitypool/" + pool
	does(identity, "TagResource", obj{"ResourceArn": tagged, "Tags": obj{"stage": "test"}}, `Tags[stage]: "test"`)
	does(identity, "UntagResource", obj{"ResourceArn": tagged, "TagKeys": []string{"stage"}}, "no Tags[stage]")
	signIn := func(user string) string {
		t.Helper()
		return does(identity, "GetOpenIdTokenForDeveloperIdentity", obj{"IdentityPoolId": pool, "Logins": obj{"login.app": user}},
			"IdentityID: <identity>", "Providers: login.app")["IdentityId"].(string)
	}
	ann, bob := signIn("secretive-ann"), signIn("secretive-bob")
	does(identity, "MergeDeveloperIdentities", obj{"IdentityPoolId": pool, "DeveloperProviderName": "login.app", "SourceUserIdentifier": "secretive-bob", "DestinationUserIdentifier": "secretive-ann"},
		"Merged: "+bob+" into "+ann)
	does(identity, "UnlinkDeveloperIdentity", obj{"IdentityPoolId": pool, "IdentityId": ann, "DeveloperProviderName": "login.app", "DeveloperUserIdentifier": "secretive-bob"}, "IdentityID: "+ann, "Unlinked: login.app")
	const nobody = "us-east-1:00000000-0000-4000-8000-000000000000"
	does(identity, "DeleteIdentities", obj{"IdentityIdsToDelete": []string{ann, nobody}}, "Not deleted: "+nobody, "Deleted: "+ann)
	does("kinesis", "CreateStream", obj{"StreamName": "s", "ShardCount": 2}, "Shards: 2", "Retention: 24h0m0s")
	does("cognito-sync", "POST /identitypools/"+pool+"/configuration", obj{"CognitoStreams": obj{"StreamName": "s", "RoleArn": role, "StreamingStatus": "ENABLED"}},
		"Stream.Enabled: true", "Stream.Name: s", "Stream.RoleARN: "+role)
	does("kinesis", "DeleteStream", obj{"StreamName": "s"})
	does(identity, "DeleteIdentityPool", obj{"IdentityPoolId": pool}, "Deleted: true")

	// None of these has an entry of its own.
	if status, _ := a.call(identity, "ListIdentityPools", obj{"MaxResults": 1}); status != http.StatusOK {
		t.Error(status)
	}
	if status, _ := a.call(identity, "DeleteIdentityPool", obj{"IdentityPoolId": pool}); status != http.StatusBadRequest {
		t.Error(status)
	}
	if status, _ := a.call(identity, "GetId", obj{"IdentityPoolId": pool}); status != http.StatusBadRequest {
		t.Error(status)
	}
	if err := a.audit.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	page, err := a.audit.Read(t.Context(), audit.Query{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]int64{}
	for _, e := range page.Entries {
		text := strings.Join(e.Details, " ")
		if e.AccessKey != a.developer.AccessKeyID || e.Address != "127.0.0.1" || strings.Contains(text, "secretive") || strings.Contains(text, "eyJ") {
			t.Errorf("an entry is %+v", e)
		}
		service, operation, _ := strings.Cut(e.Action, ":")
		if e.Request == "" {
			counted[operation+" "+e.Outcome] += e.Count
			continue
		}
		if service == "cognito-sync" {
			operation = "POST /identitypools/" + pool + "/configuration"
		}
		got = append(got, fmt.Sprintf("%s %q", operation, e.Details))
	}
	// The order of the two in DeleteIdentities is that of their ids.
	order := func(s string) string { return strings.Join(slices.Sorted(slices.Values(strings.Fields(s))), " ") }
	for n := range max(len(got), len(want)) {
		if n >= len(got) || n >= len(want) || order(got[n]) != order(want[n]) {
			t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if len(counted) != 2 || counted["ListIdentityPools ok"] != 1 || counted["DeleteIdentityPool ResourceNotFoundException"] != 1 {
		t.Errorf("counted are %v", counted)
	}
}

// TestAuditCommand has the command's filters, and what it prints.
func TestAuditCommand(t *testing.T) {
	a := newAudited(t)
	file := filepath.Join(a.cfg.Data, credentialsName)
	prints := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := tool(t, nil, append([]string{"audit", "--server", a.url(), "--credentials", file}, args...)...)
		if code != 0 {
			t.Fatalf("%v: %d %s", args, code, stderr)
		}
		return stdout
	}
	if code, _, stderr := tool(t, nil, "access-key", "create", "--server", a.url(), "--credentials", file, "--name", "ci"); code != 0 {
		t.Fatal(stderr)
	}
	if code, _, stderr := tool(t, nil, "pool", "create", "--server", a.url(), "--credentials", file, "n"); code != 0 {
		t.Fatal(stderr)
	}
	act := audit.Act{AccessKey: "AKIAOTHER", Action: "kinesis:ListStreams", Resource: "arn:\x1b[2J", Outcome: audit.Ok}
	for range 3 {
		a.audit.Note(act)
	}
	if err := a.audit.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	const key, pool, list = "tributary:CreateAccessKey", "tributary:CreatePool", "kinesis:ListStreams"
	for _, c := range []struct {
		args []string
		want []string
	}{
		{nil, []string{key, pool, list}}, {[]string{"--since", "1d"}, []string{key, pool, list}}, {[]string{"--since", "2026-01-01"}, []string{key, pool, list}},
		{[]string{"--since", "90m", "--action", "Create*"}, []string{key, pool}}, {[]string{"--action", "tributary:*pool"}, []string{pool}},
		{[]string{"--action", "LISTstreams"}, []string{list}}, {[]string{"--key", "AKIAOTHER"}, []string{list}}, {[]string{"--key", a.developer.AccessKeyID, "--action", "*Key"}, []string{key}}, {[]string{"--key", "AKIANOBODY"}, nil},
	} {
		out := prints(c.args...)
		for _, action := range []string{key, pool, list} {
			if strings.Contains(out, action) != slices.Contains(c.want, action) {
				t.Errorf("%v prints, without %s or with it:\n%s", c.args, action, out)
			}
		}
	}
	for _, want := range []string{"; Name: ci; no Policy\n", "PoolID: us-east-1:", " ok AKIAOTHER kinesis:ListStreams arn:\uFFFD[2J 3 times\n"} {
		if out := regexp.MustCompile(" +").ReplaceAllString(prints(), " "); !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if out := prints("--json", "--action", "CreateAccessKey"); !strings.Contains(out, `"details":["AccessKeyID: AKIA`) {
		t.Errorf("%s", out)
	}
	if code, _, stderr := tool(t, nil, "audit", "--server", a.url(), "--credentials", file, "--key", "a b"); code != 1 || !strings.Contains(stderr, "The access key is \"a b\", it must be") {
		t.Errorf("%d %s", code, stderr)
	}
}

// auditTable makes entries of a key with a name, and prints them as others.
func (a *audited) auditTable(credentials string, args ...string) (stdout, stderr string) {
	a.Helper()
	if err := a.audit.Flush(a.Context()); err != nil {
		a.Fatal(err)
	}
	code, stdout, stderr := tool(a.T, nil, append([]string{"audit", "--server", a.url(), "--credentials", credentials}, args...)...)
	if code != 0 {
		a.Fatalf("%v: %d %s", args, code, stderr)
	}
	return stdout, stderr
}

// TestAuditTable: what is asked first stands on the screen.
func TestAuditTable(t *testing.T) {
	a := newAudited(t)
	admin := filepath.Join(a.cfg.Data, credentialsName)
	k := keyTool{t, []string{"--server", a.url(), "--credentials", admin}}
	out, _ := k.must("create", "--name", "ci of the web team, and of all others who build", "--policy", file(t, `{"Statement": {"Effect": "Allow", "Action": "tributary:ListAudit", "Resource": "*"}}`))
	limited, key := k.created(out)
	refused := audit.Act{AccessKey: key.AccessKeyID, Address: netip.MustParseAddr("2001:db8:1111:2222:3333:4444:5555:6666"), Action: "cognito-identity:GetOpenIdTokenForDeveloperIdentity",
		Resource: "arn:aws:cognito-identity:us-east-1:000000000000:identitypool/us-east-1:11111111-2222-4333-8444-555555555555", Outcome: "UnrecognizedClientException"}
	long := strings.Repeat("é", 121)
	if err := a.audit.Write(t.Context(), refused, "r", []string{long}); err != nil {
		t.Fatal(err)
	}
	filter := []string{"--action", "GetOpenIdToken*"}
	out, _ = a.auditTable(admin, filter...)
	head, row, _ := strings.Cut(out, "\n")
	if want := []string{"time", "outcome", "access", "key", "name", "address", "action", "resource", "details"}; !slices.Equal(strings.Fields(head), want) {
		t.Errorf("%s", head)
	}
	if at := strings.Index(row, refused.Outcome); at < 0 || at+len(refused.Outcome) > 120 || strings.Index(head, "outcome") != at {
		t.Errorf("the outcome is at %d:\n%s", at, out)
	}
	for _, want := range []string{key.AccessKeyID + "  ci of the web team, and of al…  2001:", "  " + strings.Repeat("é", 119) + "…\n"} {
		if !strings.HasSuffix(want, "\n") && !strings.Contains(row, want) || strings.HasSuffix(want, "\n") && !strings.HasSuffix(row, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if out, _ = a.auditTable(limited, filter...); !strings.Contains(out, key.AccessKeyID) || strings.Contains(out, "ci of") {
		t.Errorf("of one who may not list keys:\n%s", out)
	}
	if out, _ = a.auditTable(admin, append(filter, "--json")...); !strings.Contains(out, long) || strings.Contains(out, "outcome  ") {
		t.Errorf("%s", out)
	}
	a.auditNothing(admin)
}

// auditNothing: where nothing is found the command says in how many it looked.
func (a *audited) auditNothing(credentials string) {
	a.Helper()
	page, err := a.audit.Read(a.Context(), audit.Query{Limit: 1000})
	if err != nil {
		a.Fatal(err)
	}
	for _, args := range [][]string{{"--key", "AKIANOBODY"}, {"--key", "AKIANOBODY", "--json"}, {"--action", "SplitShard", "--since", "2026-01-01"}} {
		out, stderr := a.auditTable(credentials, args...)
		var looked int
		var since string
		if _, err := fmt.Sscanf(stderr, "no entries of %d looked at since %s\n", &looked, &since); err != nil || looked < len(page.Entries) || out != "" || !strings.HasPrefix(since, "20") {
			a.Errorf("%v: %s%s, %v", args, out, stderr, err)
		}
	}
	if _, stderr := a.auditTable(credentials); stderr != "" {
		a.Errorf("%s", stderr)
	}
}

// TestAuditActions: the filter takes the operations of all services.
func TestAuditActions(t *testing.T) {
	for _, action := range []string{"cognito-sync:ListRecords", "cognito-identity:getid", "kinesis:*", "sts:GetCallerIdentity", "tributary:Backup", "*:Tag*", "*", "Backup"} {
		if err := (&auditCmd{Action: action}).checkAction(); err != nil {
			t.Error(err)
		}
	}
}

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"90m": "2026-11-23T16:30:00Z", "24h": "2026-11-22T18:00:00Z", "7d": "2026-11-16T18:00:00Z", "0s": "2026-11-23T18:00:00Z", "1h30m": "2026-11-23T16:30:00Z", "20000d": "1972-02-20T18:00:00Z",
		"2026-11-01": "2026-11-01T00:00:00Z", "2026-11-23": "2026-11-23T00:00:00Z", "2026-11-01T18:00:00+02:00": "2026-11-01T16:00:00Z", "2026-11-23T18:00:00Z": "2026-11-23T18:00:00Z",
		"": "must be a time", "d": "must be a time", "7": "must be a time", "-1d": "must be a time", "-1h": "must be a time", "1.5d": "must be a time", "99999d": "must be a time", "2026-13-01": "must be a time", "2026-11-01 18:00": "must be a time", "1w": "must be a time",
		"2026-11-24": "still to come", "2026-11-23T18:00:01Z": "still to come", "1969-12-31": "after 1970", "30000d": "after 1970",
	} {
		at, err := parseSince(text, now)
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %s", text, err, want)
			}
		} else if got := at.UTC().Format(time.RFC3339); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}

// BenchmarkAudited is what the audit log adds to a developer's sync.
func BenchmarkAudited(b *testing.B) {
	for _, c := range []struct {
		name      string
		resources int
	}{{"Common", 50}, {"Overflow", 10_000}} {
		b.Run(c.name, func(b *testing.B) {
			s := &server{audit: &audit.Log{}}
			begin := s.begin(&auth.Limits{})
			resources := make([]string, c.resources)
			for i := range resources {
				resources[i] = fmt.Sprintf("arn:aws:cognito-sync:us-east-1:000000000000:identitypool/us-east-1:00000000-0000-4000-8000-000000000001/identity/us-east-1:00000000-0000-4000-8000-%012d/dataset/settings", i)
			}
			r := httptest.NewRequest("POST", "/", nil)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; b.Loop(); i++ {
				p, end := begin(tributary.Principal{Account: "000000000000", AccessKey: "AKIA0123456789ABCDEF"}, r, "cognito-sync:UpdateRecords", "r")
				p.Call.Resource = resources[i%len(resources)]
				end(nil)
			}
		})
	}
}

// TestAuditedFailure: a call that changed something before it failed has an entry
// of its own, with what it changed.
func TestAuditedFailure(t *testing.T) {
	a := newAudited(t)
	r := httptest.NewRequest("POST", "/", nil)
	for _, details := range []string{"", "Merged: a into b"} {
		p, end := a.begin(&auth.Limits{})(tributary.Principal{Account: "000000000000", AccessKey: "AKIAFAILS"}, r, "cognito-identity:MergeDeveloperIdentities", "r-1")
		if details != "" {
			p.Call.Detail("Merged", "a into b")
		}
		end(&awswire.Fault{Code: "InternalErrorException"})
	}
	page, err := a.audit.Read(t.Context(), audit.Query{Limit: 100, AccessKey: "AKIAFAILS"})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Entries) != 1 || page.Entries[0].Request != "r-1" || page.Entries[0].Outcome != "InternalErrorException" || !slices.Equal(page.Entries[0].Details, []string{"Merged: a into b"}) {
		t.Errorf("the entries are %+v", page.Entries)
	}
}
