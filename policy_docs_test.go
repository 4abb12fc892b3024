package tributary_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"tributary"
)

// TestDocumentedPolicies holds the policies of docs/access.md to what is said of
// them there.
func TestDocumentedPolicies(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("docs", "access.md"))
	if err != nil {
		t.Fatal(err)
	}
	const (
		none     = "000000000000"
		own      = "us-east-1:11111111-2222-4333-8444-555555555555"
		sync     = "arn:aws:cognito-sync:us-east-1:" + none + ":identitypool/"
		identity = "arn:aws:cognito-identity:us-east-1:" + none + ":identitypool/"
		other    = "us-east-1:99999999-2222-4333-8444-555555555555"
		data     = own + "/identity/" + string(ann) + "/dataset/notes"
	)
	type call struct{ action, resource string }
	cases := []struct {
		name          string
		allowed, none []call
		keys          map[string]string
	}{
		{"Support", []call{{"cognito-sync:ListRecords", sync + data}, {"cognito-identity:DescribeIdentity", "*"}, {"cognito-identity:ListIdentityPools", "*"}, {"tributary:Query", "*"}, {"tributary:DescribePool", sync + other}},
			[]call{{"cognito-sync:UpdateRecords", sync + data}, {"cognito-identity:GetOpenIdTokenForDeveloperIdentity", identity + own}, {"tributary:SetPool", sync + own}, {"tributary:CreateAccessKey", "*"}}, nil},
		{"OnePool", []call{{"cognito-sync:UpdateRecords", sync + data}, {"cognito-sync:SetIdentityPoolConfiguration", sync + own}, {"cognito-identity:UpdateIdentityPool", identity + own}, {"tributary:SetPool", sync + own}},
			[]call{{"cognito-sync:ListRecords", sync + other + "/identity/" + string(ann) + "/dataset/notes"}, {"cognito-identity:DescribeIdentityPool", identity + other}, {"cognito-identity:CreateIdentityPool", "*"}, {"tributary:Query", "*"}}, nil},
		{"ReadOnePool", []call{{"cognito-sync:ListRecords", sync + data}, {"cognito-sync:ListDatasets", sync + own + "/identity/" + string(ann) + "/dataset/null"}, {"cognito-sync:DescribeIdentityPoolUsage", sync + own}, {"cognito-sync:GetIdentityPoolConfiguration", sync + own},
			{"cognito-identity:DescribeIdentityPool", identity + own}, {"cognito-identity:ListIdentities", identity + own}, {"cognito-identity:GetIdentityPoolRoles", identity + own}, {"tributary:DescribePool", sync + own}},
			[]call{{"cognito-sync:UpdateRecords", sync + data}, {"cognito-sync:SetIdentityPoolConfiguration", sync + own}, {"cognito-sync:ListRecords", sync + other + "/identity/" + string(ann) + "/dataset/notes"}, {"cognito-sync:DescribeIdentityPoolUsage", sync + other},
				{"cognito-identity:DescribeIdentityPool", identity + other}, {"cognito-identity:DescribeIdentity", "*"}, {"cognito-identity:GetOpenIdTokenForDeveloperIdentity", identity + own}, {"cognito-identity:SetIdentityPoolRoles", identity + own}, {"tributary:SetPool", sync + own}, {"tributary:Query", "*"}}, nil},
		{"Reader", []call{{"kinesis:GetRecords", "arn:aws:kinesis:us-east-1:" + none + ":stream/orders"}, {"kinesis:DescribeStreamSummary", "arn:aws:kinesis:us-east-1:" + none + ":stream/orders"}},
			[]call{{"kinesis:GetRecords", "arn:aws:kinesis:us-east-1:" + none + ":stream/payments"}, {"kinesis:DeleteStream", "arn:aws:kinesis:us-east-1:" + none + ":stream/orders"}, {"kinesis:ListStreams", "*"}}, nil},
		{"Office", []call{{"cognito-sync:UpdateRecords", sync + data}}, []call{{"cognito-identity:ListIdentityPools", "*"}}, map[string]string{"aws:SourceIp": "203.0.113.7", "aws:SecureTransport": "true"}},
	}
	blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) != len(cases) {
		t.Fatalf("docs/access.md has %d policies, the test knows %d", len(blocks), len(cases))
	}
	for i, c := range cases {
		document := string(blocks[i][1])
		if err := tributary.CheckPolicy(document, none, tributary.HeldByKey); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		p := parsePolicy(t, document)
		for _, a := range c.allowed {
			want(t, c.name+": "+a.action+" on "+a.resource, p.Decide(&tributary.Access{Action: a.action, Resource: a.resource, Keys: c.keys}), tributary.Allowed)
		}
		for _, a := range c.none {
			want(t, c.name+": "+a.action+" on "+a.resource, p.Decide(&tributary.Access{Action: a.action, Resource: a.resource, Keys: c.keys}), tributary.ImplicitDeny)
		}
	}
}
