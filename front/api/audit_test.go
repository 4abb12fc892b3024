package api_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"tributary/audit"
	"tributary/front/api"
)

// TestListAudit reads the log by all parameters, in pages of every size.
func TestListAudit(t *testing.T) {
	k := newKit(t)
	if _, _, answer := k.send(k.developer, "GET", "audit", ""); answer != `{"Entries":[],"More":false}` {
		t.Errorf("before anything happened: %s", answer)
	}
	for n, key := range []string{"AKIA1", "AKIA2", "AKIA1", "AKIA2", "AKIA1"} {
		act := audit.Act{AccessKey: key, Action: []string{"a:Create", "a:Delete"}[n/2%2], Resource: fmt.Sprint(n), Outcome: audit.Ok}
		k.ok(k.log.Write(t.Context(), act, "r", []string{"Name: n", "no Policy"}))
	}
	for query, want := range map[string]string{
		"": "01234", "accessKey=AKIA1": "024", "action=Delete": "23", "action=a:*&accessKey=AKIA2": "13", "since=2099-01-01T00:00:00Z": "", "since=2026-01-01T00:00:00%2B02:00": "01234",
		"accessKey=AKIA": "", "accessKey=&action=": "01234",
	} {
		for size := 1; size <= 6; size++ {
			got := ""
			for token := ""; ; {
				var page api.AuditPage
				k.call(k.developer, "GET", fmt.Sprintf("audit?%s&maxResults=%d&nextToken=%s", query, size, url.QueryEscape(token)), "", &page)
				for _, e := range page.Entries {
					got += e.Resource
				}
				if token = page.NextToken; !page.More {
					break
				}
			}
			if got != want {
				t.Errorf("%s in pages of %d: %s, want %s", query, size, got, want)
			}
		}
	}
	if _, _, answer := k.send(k.developer, "GET", "audit?maxResults=1", ""); !strings.Contains(answer, `"details":["Name: n","no Policy"]}],"NextToken":"`) || !strings.HasSuffix(answer, `","More":true,"Looked":1}`) {
		t.Errorf("the first page is %s", answer)
	}
	for path, want := range map[string]string{
		"audit?maxResults=0": "from 1 to 10000", "audit?maxResults=10001": "from 1 to 10000", "audit?since=yesterday": "it must be a time like", "audit?nextToken=x": "NextToken is not valid",
		"audit?action=a%20b": "it must be a name such as", "audit?accessKey=*": "it must be the id of one",
	} {
		if status, code, answer := k.send(k.developer, "GET", path, ""); status != 400 || code != "InvalidParameterException" || !strings.Contains(answer, want) {
			t.Errorf("%s: %d %s %s", path, status, code, answer)
		}
	}
	if status, _, _ := k.send(k.guest, "GET", "audit", ""); status != 403 {
		t.Errorf("a guest gets %d", status)
	}
}

// TestDetails: operations that change something say what.
func TestDetails(t *testing.T) {
	k := newKit(t)
	check := func(what string, want ...string) {
		t.Helper()
		if !slices.Equal(k.details, want) {
			t.Errorf("%s: %q, want %q", what, k.details, want)
		}
	}
	const policy = `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	quoted := strings.ReplaceAll(policy, `"`, `\"`)
	var made, next api.NewAccessKey
	k.call(k.developer, "POST", "access-keys", `{"Name":"ci","Policy":"`+quoted+`"}`, &made)
	check("create key", "AccessKeyID: "+made.AccessKeyID, "Name: ci", "Policy: "+policy)
	k.call(k.developer, "POST", "access-keys/"+made.AccessKeyID+"/rotate", `{"KeepSeconds":60}`, &next)
	check("rotate key", "AccessKeyID: "+next.AccessKeyID, "KeepSeconds: 60")
	k.call(k.developer, "POST", "access-keys/"+next.AccessKeyID, `{"Policy":"","Name":"old","Disabled":true}`, &struct{}{})
	check("update key", "Name: old", "no Policy", "Disabled: true")
	k.call(k.developer, "POST", "access-keys/"+next.AccessKeyID, `{"Disabled":false}`, &struct{}{})
	check("enable key", "Disabled: false")
	k.call(k.developer, "POST", "pools", `{"PoolId":"`+pool+`","Name":"n","AllowUnauthenticated":true,"Limits":{"Records":7}}`, &struct{}{})
	check("create pool", "PoolID: "+pool, "AllowUnauthenticated: true", "Limits.Records: 7", "Name: n")
	k.call(k.developer, "POST", "pools/"+pool, `{"AllowUnauthenticated":false,"Records":0,"ValueBytes":9,"RolePolicies":{"arn:aws:iam::123456789012:role/a":"`+quoted+`"}}`, &struct{}{})
	check("set pool", "AllowUnauthenticated: false", "Limits.Records: 1024", "Limits.ValueBytes: 9", "Roles.Policies[arn:aws:iam::123456789012:role/a]: "+policy)
	k.call(k.developer, "POST", "pools/"+pool, `{"RolePolicies":{"arn:aws:iam::123456789012:role/a":""}}`, &struct{}{})
	check("take policy off", "no Roles.Policies[arn:aws:iam::123456789012:role/a]")
	k.call(k.developer, "POST", "pools/"+pool, `{"ValueBytes":9}`, &struct{}{})
	check("set what was set")
	k.call(k.developer, "POST", "pools/"+pool+"/identities", `{"IdentityId":"`+ann+`"}`, &struct{}{})
	check("create identity", "IdentityID: "+ann)
}
