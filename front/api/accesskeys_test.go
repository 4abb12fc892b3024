package api_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/awswire"
	"tributary/front/api"
)

// call calls an operation that must succeed.
func (k *kit) call(as awswire.Credentials, method, path, body string, out any) {
	k.Helper()
	status, code, answer := k.send(as, method, path, body)
	if status != 200 {
		k.Fatalf("%s %s: %d %s %s", method, path, status, code, answer)
	}
	if err := json.Unmarshal([]byte(answer), out); err != nil {
		k.Fatalf("%s %s: %v in %s", method, path, err, answer)
	}
}

func credentials(k *api.NewAccessKey) awswire.Credentials {
	return awswire.Credentials{AccessKeyID: k.AccessKeyID, SecretKey: k.SecretAccessKey}
}

const keyARN = "arn:aws:iam::" + account + ":user/"

// TestAccessKeys walks the operations in order: each sees what those before
// have done.
func TestAccessKeys(t *testing.T) {
	k := newKit(t)
	var ci, next api.NewAccessKey
	began := time.Now().Add(-time.Second)
	k.call(k.developer, "POST", "access-keys", `{"Name":"ci","Policy":"{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"tributary:RotateAccessKey\",\"Resource\":\"`+keyARN+`*\"}}"}`, &ci)
	if ci.Name != "ci" || ci.Disabled || ci.Created.Before(began) || ci.Created.After(time.Now()) || !ci.Until.IsZero() || len(ci.SecretAccessKey) < 40 {
		t.Errorf("%+v", ci)
	}
	k.call(credentials(&ci), "POST", "access-keys/"+ci.AccessKeyID+"/rotate", `{"KeepSeconds":3600}`, &next)
	if next.Name != ci.Name || next.Policy != ci.Policy || next.AccessKeyID == ci.AccessKeyID {
		t.Errorf("%+v", next)
	}
	var old api.AccessKey
	k.call(k.developer, "POST", "access-keys/"+ci.AccessKeyID, `{}`, &old)
	if left := time.Until(old.Until); left < 59*time.Minute || left > time.Hour {
		t.Errorf("%+v", old)
	}
	k.call(k.developer, "POST", "access-keys/"+ci.AccessKeyID, `{"Disabled":true,"Name":"old"}`, &old)
	if !old.Disabled || old.Name != "old" || old.Policy != ci.Policy {
		t.Errorf("%+v", old)
	}
	k.call(k.developer, "DELETE", "access-keys/"+ci.AccessKeyID, "", &struct{}{})

	const invalid = "InvalidParameterException"
	one := "access-keys/" + next.AccessKeyID
	for _, c := range []struct {
		name               string
		as                 awswire.Credentials
		method, path, body string
		status             int
		code, answer       string // the answer has
	}{
		{"BadPolicy", k.developer, "POST", "access-keys", `{"Policy":"{}"}`, 400, invalid, "The policy is not valid: it has no Statement"},
		{"PolicyOfNoAction", k.developer, "POST", "access-keys", `{"Policy":"{\"Statement\":{\"Effect\":\"Deny\",\"Action\":\"tributary:BackUps\",\"Resource\":\"*\"}}"}`, 400, invalid, "statement 1: Action: tributary:BackUps matches no action; did you mean tributary:Backup?"},
		{"PolicyOfOtherAccount", k.developer, "POST", "access-keys/" + next.AccessKeyID, `{"Policy":"{\"Statement\":{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"arn:aws:iam::999999999999:user/*\"}}"}`, 400, invalid, "it must be this server's, " + account + " (serve --account)"},
		{"PolicyAsObject", k.developer, "POST", "access-keys", `{"Policy":{}}`, 400, "SerializationException", "Policy"},
		{"LongName", k.developer, "POST", "access-keys", `{"Name":"` + strings.Repeat("x", 129) + `"}`, 400, invalid, "at most 128"},
		{"CreateAsGuest", k.guest, "POST", "access-keys", `{}`, 403, "NotAuthorizedException", ""},
		{"CreateByPolicy", credentials(&next), "POST", "access-keys", `{}`, 403, "AccessDeniedException", keyARN + next.AccessKeyID + " is not authorized to perform: tributary:CreateAccessKey on resource: *"},
		{"ListAsGuest", k.guest, "GET", "access-keys", "", 403, "NotAuthorizedException", ""},
		{"ListByPolicy", credentials(&next), "GET", "access-keys", "", 403, "AccessDeniedException", "tributary:ListAccessKeys on resource: *"},
		{"ListNone", k.developer, "GET", "access-keys?maxResults=0", "", 400, invalid, `maxResults is \"0\", it must be a number from 1 to 1000`},
		{"ListMany", k.developer, "GET", "access-keys?maxResults=1001", "", 400, invalid, "1 to 1000"},
		{"ListText", k.developer, "GET", "access-keys?maxResults=x", "", 400, invalid, "1 to 1000"},
		{"RotateNegative", k.developer, "POST", one + "/rotate", `{"KeepSeconds":-1}`, 400, invalid, "between 0 and 7776000"},
		{"RotateLong", k.developer, "POST", one + "/rotate", `{"KeepSeconds":7776001}`, 400, invalid, "between 0 and 7776000"},
		{"RotateNothing", k.developer, "POST", "access-keys/AKIANOBODY/rotate", `{}`, 404, "ResourceNotFoundException", "The access key does not exist"},
		{"RotateAsGuest", k.guest, "POST", one + "/rotate", `{}`, 403, "NotAuthorizedException", ""},
		{"UpdateTypo", k.developer, "POST", one, `{"Status":"Inactive"}`, 400, "SerializationException", "Status"},
		{"UpdateByPolicy", credentials(&next), "POST", one, `{"Policy":""}`, 403, "AccessDeniedException", "tributary:UpdateAccessKey on resource: " + keyARN + next.AccessKeyID},
		{"UpdateAsGuest", k.guest, "POST", one, `{}`, 403, "NotAuthorizedException", ""},
		{"UpdateLast", k.developer, "POST", "access-keys/" + k.developer.AccessKeyID, `{"Disabled":true}`, 400, invalid, k.developer.AccessKeyID + " is the last one"},
		{"DeleteGood", k.developer, "DELETE", one, "", 400, invalid, "is enabled: disable it first"},
		{"DeleteGone", k.developer, "DELETE", "access-keys/" + ci.AccessKeyID, "", 404, "ResourceNotFoundException", ""},
		{"DeleteByPolicy", credentials(&next), "DELETE", one, "", 403, "AccessDeniedException", "tributary:DeleteAccessKey on resource: " + keyARN + next.AccessKeyID},
		{"DeleteAsGuest", k.guest, "DELETE", one, "", 403, "NotAuthorizedException", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, code, answer := k.send(c.as, c.method, c.path, c.body)
			if status != c.status || code != c.code || !strings.Contains(answer, c.answer) {
				t.Errorf("got %d %s %s, want %d %s %s", status, code, answer, c.status, c.code, c.answer)
			}
		})
	}
	want := []string{"tributary:CreateAccessKey " + keyARN + ci.AccessKeyID, "tributary:RotateAccessKey " + keyARN + ci.AccessKeyID,
		"tributary:UpdateAccessKey " + keyARN + ci.AccessKeyID, "tributary:UpdateAccessKey " + keyARN + ci.AccessKeyID, "tributary:DeleteAccessKey " + keyARN + ci.AccessKeyID}
	if len(k.done) < len(want) || !slices.Equal(k.done[:len(want)], want) {
		t.Errorf("the audit log gets %q, want %q", k.done, want)
	}
}

// TestListAccessKeys: pages of every size have all keys, and never a secret.
func TestListAccessKeys(t *testing.T) {
	k := newKit(t)
	secrets, want := []string{k.developer.SecretKey}, []string{k.developer.AccessKeyID}
	for i := range 4 {
		var key api.NewAccessKey
		k.call(k.developer, "POST", "access-keys", fmt.Sprintf(`{"Name":"%d"}`, i), &key)
		secrets, want = append(secrets, key.SecretAccessKey), append(want, key.AccessKeyID)
	}
	slices.Sort(want)
	for size := 1; size <= 6; size++ {
		var have []string
		for token := ""; ; {
			path := fmt.Sprintf("access-keys?maxResults=%d&nextToken=%s", size, url.QueryEscape(token))
			_, _, text := k.send(k.developer, "GET", path, "")
			for _, secret := range secrets {
				if strings.Contains(text, secret) || strings.Contains(text, "Sealed") {
					t.Fatalf("a list shows a secret: %s", text)
				}
			}
			var page api.AccessKeyPage
			k.call(k.developer, "GET", path, "", &page)
			if len(page.AccessKeys) == 0 {
				t.Fatal("a page has no keys")
			}
			for _, key := range page.AccessKeys {
				have = append(have, key.AccessKeyID)
			}
			if token = page.NextToken; token == "" {
				break
			}
			if len(page.AccessKeys) != size {
				t.Fatalf("a page of %d has %d keys", size, len(page.AccessKeys))
			}
		}
		if !slices.Equal(have, want) {
			t.Errorf("in pages of %d: %q, want %q", size, have, want)
		}
	}
}
