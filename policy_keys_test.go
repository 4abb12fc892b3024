package tributary_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"tributary"
)

// fakeRequest is a request of which is noted what was asked.
type fakeRequest struct {
	client string
	secure bool
	header map[string]string
	asked  []string
}

func (r *fakeRequest) Client() netip.Addr {
	r.asked = append(r.asked, "client")
	a, _ := netip.ParseAddr(r.client)
	return a
}

func (r *fakeRequest) Secure() bool {
	r.asked = append(r.asked, "secure")
	return r.secure
}

func (r *fakeRequest) Header(name string) string {
	r.asked = append(r.asked, name)
	return r.header[name]
}

func fromOffice() *fakeRequest {
	return &fakeRequest{client: "203.0.113.7", secure: true, header: map[string]string{"User-Agent": "aws-sdk-go-v2/1.0", "Referer": "https://app.example.org/x"}}
}

const appUser = "arn:aws:iam::123456789012:role/path/app-user"

// askKey asks a key's policy, as it would be stored, about a call.
func askKey(t *testing.T, document string, r tributary.Request) error {
	t.Helper()
	p := developer
	p.Policy, p.Call = parsePolicy(t, document), &tributary.Call{Action: "kinesis:ListStreams", Request: r}
	s := &tributary.Service{Account: account, Now: newClock().Now}
	return s.Allow(p, "test", "*")
}

// TestConditionKeys: every key has its value in the policies of keys and roles,
// and no other.
func TestConditionKeys(t *testing.T) {
	const none = "\x00"
	k := newSignInKit(t)
	k.identity(poolA, ann)
	ofRole := func(document string) error {
		_, err := k.ChangePool(k.ctx, developer, poolA, func(p *tributary.Pool) error {
			p.Roles.Policies = map[string]string{appUser: document}
			return nil
		})
		k.ok(err)
		p := asIdentity(poolA, ann)
		p.Session = &tributary.Session{Role: appUser, Name: "web", Tags: map[string]string{"team": "red", "empty": ""}}
		p.Call = &tributary.Call{Action: "cognito-sync:ListRecords", Request: fromOffice()}
		_, err = k.ListRecords(k.ctx, p, key("notes"), tributary.ListQuery{})
		return err
	}
	at := k.clock.Now().UTC()
	for _, c := range []struct{ name, key, role string }{
		{"aws:CurrentTime", at.Format("2006-01-02T15:04:05Z"), at.Format("2006-01-02T15:04:05Z")},
		{"aws:EpochTime", fmt.Sprint(at.Unix()), fmt.Sprint(at.Unix())},
		{"aws:SecureTransport", "true", "true"},
		{"aws:SourceIp", "203.0.113.7", "203.0.113.7"},
		{"aws:UserAgent", "aws-sdk-go-v2/1.0", "aws-sdk-go-v2/1.0"},
		{"aws:Referer", "https://app.example.org/x", "https://app.example.org/x"},
		{"AWS:sourceIP", "203.0.113.7", "203.0.113.7"},
		{"aws:PrincipalAccount", account, account},
		{"aws:PrincipalArn", "arn:aws:iam::123456789012:user/AKIA", appUser},
		{"aws:username", "AKIA", none},
		{"aws:userid", "AKIA", k.Caller(tributary.Principal{Session: &tributary.Session{Role: appUser, Name: "web"}}).UserID},
		{"aws:PrincipalTag/team", none, "red"},
		{"aws:principaltag/TEAM", none, "red"},
		{"aws:PrincipalTag/empty", none, ""},
		{"aws:PrincipalTag/other", none, none},
		{"aws:PrincipalTag/", none, none},
		{audKey, none, string(poolA)},
		{subKey, none, string(ann)},
		{"aws:SourceIp/x", none, none},
		{"aws:MultiFactorAuthPresent", none, none},
	} {
		with := func(condition string) string {
			return policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': '*', 'Condition': {" + condition + "}}")
		}
		has := func(value string) string {
			if value == none {
				return with("'Null': {'" + c.name + "': 'true'}")
			}
			return with("'StringEquals': {'" + c.name + "': '" + value + "'}, 'Null': {'" + c.name + "': 'false'}")
		}
		if err := askKey(t, has(c.key), fromOffice()); err != nil {
			t.Errorf("%s of a key is not %q: %v", c.name, c.key, err)
		}
		if err := ofRole(has(c.role)); err != nil {
			t.Errorf("%s of a role is not %q: %v", c.name, c.role, err)
		}
		if err := ofRole(has("else")); tributary.KindOf(err) != tributary.Forbidden {
			t.Errorf("%s of a role is anything: %v", c.name, err)
		}
	}
	// In a call that came by no request, or by one without them, there are none.
	lacks := policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': '*', 'Condition': {'Null': {'aws:SourceIp': 'true', 'aws:UserAgent': 'true', 'aws:Referer': 'true'}}}")
	k.ok(askKey(t, lacks, nil))
	k.ok(askKey(t, lacks, &fakeRequest{}))
}

// TestConditionsOfKeys has the policies that AWS's guides show keep out whom
// they are to keep out.
func TestConditionsOfKeys(t *testing.T) {
	deny := func(condition string) string {
		return policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': '*'}", "{'Effect': 'Deny', 'Action': '*', 'Resource': '*', 'Condition': {"+condition+"}}")
	}
	plain, abroad := fromOffice(), fromOffice()
	plain.secure, abroad.client = false, "2001:db8::7"
	for _, c := range []struct {
		document string
		good     []tributary.Request
		bad      []tributary.Request
	}{
		{deny("'Bool': {'aws:SecureTransport': 'false'}"), []tributary.Request{fromOffice()}, []tributary.Request{plain}},
		{deny("'NotIpAddress': {'aws:SourceIp': ['203.0.113.0/24', '192.0.2.1']}"), []tributary.Request{fromOffice()}, []tributary.Request{abroad, nil}},
		{deny("'IpAddress': {'aws:SourceIp': '2001:db8::/32'}"), []tributary.Request{fromOffice()}, []tributary.Request{abroad}},
		{deny("'DateGreaterThan': {'aws:CurrentTime': '2023-11-15T00:00:00Z'}"), []tributary.Request{nil}, nil},
		{deny("'DateGreaterThan': {'aws:CurrentTime': '2023-11-14T00:00:00Z'}"), nil, []tributary.Request{nil}},
		{deny("'NumericGreaterThanEquals': {'aws:EpochTime': 1700000000}"), nil, []tributary.Request{nil}},
		{deny("'DateLessThan': {'aws:EpochTime': '2023-11-15'}"), nil, []tributary.Request{nil}},
		{deny("'ArnNotLike': {'aws:PrincipalArn': 'arn:aws:iam::*:user/AKIA'}"), []tributary.Request{nil}, nil},
		{deny("'StringNotLike': {'aws:UserAgent': 'aws-sdk-*'}"), []tributary.Request{fromOffice()}, []tributary.Request{nil}},
		{deny("'StringEquals': {'aws:username': '${aws:userid}'}"), nil, []tributary.Request{nil}},
		// A stored policy may have what cannot be set now. It is as on AWS.
		{deny("'Bool': {'aws:MultiFactorAuthPresent': 'false'}"), []tributary.Request{fromOffice()}, nil},
		{deny("'BoolIfExists': {'aws:MultiFactorAuthPresent': 'false'}"), nil, []tributary.Request{fromOffice()}},
	} {
		for _, r := range c.good {
			if err := askKey(t, c.document, r); err != nil {
				t.Errorf("%s\n with %+v gave %v", c.document, r, err)
			}
		}
		for _, r := range c.bad {
			if err := askKey(t, c.document, r); tributary.KindOf(err) != tributary.Forbidden {
				t.Errorf("%s\n with %+v gave %v", c.document, r, err)
			}
		}
	}
}

// TestKeysAreWorkedOutWhenAsked: a policy costs what it names.
func TestKeysAreWorkedOutWhenAsked(t *testing.T) {
	s := &tributary.Service{Account: account}
	for _, c := range []struct {
		name, document string
		asked          string
	}{
		{"NoPolicy", "", ""},
		{"NoConditions", policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': '*'}"), ""},
		{"Others", policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': ['*', 'arn:aws:a:b:c:${aws:username}'], 'Condition': {'Null': {'aws:EpochTime': false}}}"), ""},
		{"One", policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': '*', 'Condition': {'Null': {'aws:SourceIp': false}, 'IpAddressIfExists': {'aws:SourceIp': '203.0.113.7'}}}"), "client"},
		{"Variable", policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': '*', 'Condition': {'StringNotEquals': {'aws:username': '${aws:Referer}'}}}"), "Referer"},
	} {
		p, r := developer, fromOffice()
		p.Call = &tributary.Call{Action: "kinesis:ListStreams", Request: r}
		if c.document != "" {
			p.Policy = parsePolicy(t, c.document)
		}
		if err := s.Allow(p, "test", "*"); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		want(t, c.name+": what was asked of the request", strings.Join(r.asked, ", "), c.asked)
		if c.name[0] == 'N' {
			want(t, c.name+": the number of allocations", testing.AllocsPerRun(100, func() { _ = s.Allow(p, "test", "*") }), 0)
		}
	}
}

// TestCheckPolicyKeys: keys and variables that are never there, and comparisons
// that never hold, are refused when they are set, and go on to be read where
// they are stored.
func TestCheckPolicyKeys(t *testing.T) {
	const first = "The policy is not valid: statement 1: "
	const common = "aws:CurrentTime, aws:EpochTime, aws:SecureTransport, aws:SourceIp, aws:UserAgent, aws:Referer, aws:PrincipalAccount, aws:userid, aws:PrincipalArn, "
	const ofKeys, ofRoles = ", it can have " + common + "aws:username", ", it can have " + common + "aws:PrincipalTag/NAME, " + audKey + ", " + subKey
	on := func(members string) string {
		return policy2012("{'Effect': 'Deny', 'Action': ['s3:*', 'cognito-sync:*'], " + members + "}")
	}
	when := func(condition string) string { return on("'Resource': '*', 'Condition': {" + condition + "}") }
	resource := func(member, variable string) string {
		return on("'" + member + "': ['*', 'arn:aws:kinesis:*:*:stream/${" + variable + "}']")
	}
	for _, c := range []struct{ document, key, role string }{
		{"", "", ""},
		{when("'Bool': {'aws:SecureTransport': 'false'}, 'NotIpAddress': {'AWS:SOURCEIP': '203.0.113.0/24'}"), "", ""},
		{when("'DateGreaterThan': {'aws:CurrentTime': '2026-11-23', 'aws:EpochTime': '2026-11-23'}, 'NumericLessThan': {'aws:EpochTime': 1}"), "", ""},
		{when("'ArnLike': {'aws:PrincipalArn': '*'}, 'StringLike': {'aws:PrincipalArn': '*', 'aws:UserAgent': '*', 'aws:Referer': '*', 'aws:userid': '*', 'aws:PrincipalAccount': '*'}"), "", ""},
		{when("'Null': {'aws:SourceIp': 'true', 'aws:CurrentTime': 'true'}"), "", ""},
		{resource("Resource", "aws:SourceIp"), "", ""},

		{when("'Bool': {'aws:SecureTransprot': 'false'}"), "Condition: Bool: a call by an access key never has aws:SecureTransprot (did you mean aws:SecureTransport?)" + ofKeys, "Condition: Bool: a call by a role never has aws:SecureTransprot (did you mean aws:SecureTransport?)" + ofRoles},
		{when("'BoolIfExists': {'aws:MultiFactorAuthPresent': 'false'}"), "Condition: BoolIfExists: a call by an access key never has aws:MultiFactorAuthPresent" + ofKeys, "Condition: BoolIfExists: a call by a role never has aws:MultiFactorAuthPresent" + ofRoles},
		{when("'Null': {'aws:SourceVpc': 'true'}"), "Condition: Null: a call by an access key never has aws:SourceVpc (did you mean aws:SourceIp?)" + ofKeys, "Condition: Null: a call by a role never has aws:SourceVpc (did you mean aws:SourceIp?)" + ofRoles},
		{when("'StringEquals': {'aws:username': 'x'}"), "", "Condition: StringEquals: a call by a role never has aws:username"},
		{when("'StringEquals': {'" + audKey + "': 'x'}"), "Condition: StringEquals: a call by an access key never has " + audKey, ""},
		{when("'StringEquals': {'cognito-identity.amazonaws.com:amr': 'x'}"), "Condition: StringEquals: a call by an access key never has cognito-identity.amazonaws.com:amr" + ofKeys, "Condition: StringEquals: a call by a role never has cognito-identity.amazonaws.com:amr (did you mean " + audKey + "?)"},
		{when("'NumericLessThan': {'aws:PrincipalTag/level': 3}, 'Bool': {'aws:PrincipalTag/admin': 'true'}, 'StringLike': {'aws:principaltag/team': '${" + subKey + "}'}"), "Condition: NumericLessThan: a call by an access key never has aws:PrincipalTag/level", ""},
		{when("'StringEquals': {'aws:PrincipalTag/': 'x'}"), "Condition: StringEquals: a call by an access key never has aws:PrincipalTag/", "Condition: StringEquals: a call by a role never has aws:PrincipalTag/ (did you mean aws:PrincipalTag/NAME?)"},
		{when("'StringEquals': {'aws:userid': '${aws:usernam, `x`}'}"), "Condition: StringEquals: aws:userid: a call by an access key never has aws:usernam (did you mean aws:username?)", "Condition: StringEquals: aws:userid: a call by a role never has aws:usernam"},
		{resource("Resource", "aws:user"), "Resource: a call by an access key never has aws:user (did you mean aws:userid?)", "Resource: a call by a role never has aws:user (did you mean aws:userid?)"},
		{resource("NotResource", "aws:user"), "NotResource: a call by an access key never has aws:user", "NotResource: a call by a role never has aws:user"},

		{when("'StringLike': {'aws:SourceIp': '10.*'}"), "Condition: StringLike: aws:SourceIp cannot be compared so, it must be with IpAddress, NotIpAddress or Null", "Condition: StringLike: aws:SourceIp cannot"},
		{when("'IpAddress': {'aws:userid': '::/0'}"), "Condition: IpAddress: aws:userid cannot be compared so, it must be with StringEquals, ", "Condition: IpAddress: aws:userid cannot"},
		{when("'StringEquals': {'aws:SecureTransport': 'False'}"), "Condition: StringEquals: aws:SecureTransport cannot be compared so, it must be with Bool or Null", "Condition: StringEquals: aws:SecureTransport cannot"},
		{when("'NumericLessThan': {'aws:CurrentTime': 1}"), "Condition: NumericLessThan: aws:CurrentTime cannot be compared so, it must be with DateEquals, ", "Condition: NumericLessThan: aws:CurrentTime cannot"},

		// What is of other services is other servers' affair, unless it is of ours too.
		{policy2012("{'Effect': 'Deny', 'Action': 's3:*', 'Resource': 'arn:aws:s3:::b/${aws:x}', 'Condition': {'StringLike': {'s3:prefix': 'x'}}}"), "", ""},
		{policy2012("{'Effect': 'Deny', 'Action': '*', 'Resource': '*', 'Condition': {'StringLike': {'s3:prefix': 'x'}}}"), "Condition: StringLike: a call by an access key never has s3:prefix", "Condition: StringLike: a call by a role never has s3:prefix"},
		{policy2012("{'Effect': 'Deny', 'NotAction': 's3:*', 'Resource': '*', 'Condition': {'StringLike': {'s3:prefix': 'x'}}}"), "Condition: StringLike: a call by an access key never has s3:prefix", "Condition: StringLike: a call by a role never has s3:prefix"},
		// Without a version there are no variables.
		{`{"Statement": {"Effect": "Deny", "Action": "*", "Resource": "arn:aws:s3:::b/${aws:x}"}}`, "", ""},
	} {
		for holder, text := range map[tributary.Holder]string{tributary.HeldByKey: c.key, tributary.HeldByRole: c.role} {
			err := tributary.CheckPolicy(c.document, account, holder)
			if got := tributary.Message(err); text == "" && err != nil || text != "" && (tributary.KindOf(err) != tributary.Invalid || !strings.HasPrefix(got, first+text)) {
				t.Errorf("%s: %s\n gave %q\n want %q", holder, c.document, got, text)
			}
		}
		if c.document != "" {
			parsePolicy(t, c.document)
		}
	}
	// A later statement is looked at, and named.
	err := tributary.CheckPolicy(policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': '*'}", "{'Effect': 'Deny', 'Action': '*', 'Resource': '*', 'Condition': {'Bool': {'aws:Secure': true}}}"), account, tributary.HeldByKey)
	want(t, "the statement", strings.HasPrefix(tributary.Message(err), "The policy is not valid: statement 2: "), true)
}

// TestSettingsAskForTheirHolder: a key's policy is checked as a key's, a role's
// as a role's.
func TestSettingsAskForTheirHolder(t *testing.T) {
	named := func(key string) string {
		return policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': '*', 'Condition': {'StringLike': {'" + key + "': '*'}}}")
	}
	for name, good := range map[string][2]bool{"aws:username": {true, false}, subKey: {false, true}, "aws:userid": {true, true}, "aws:x": {}} {
		document := named(name)
		change := tributary.AccessKeyChange{Policy: &document}
		want(t, name+" of a key", change.Apply(&tributary.AccessKey{}, 0, account) == nil, good[0])
		err := (&tributary.Pool{}).SetSignIn(nil, map[string]string{appUser: document}, account)
		want(t, name+" of a role", err == nil, good[1])
	}
}
