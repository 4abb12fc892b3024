package tributary_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"tributary"
)

const (
	syncARN = "arn:aws:cognito-sync:eu-west-1:" + account + ":identitypool/"
	annsOwn = syncARN + string(poolA) + "/identity/" + string(ann)
	bobsOwn = syncARN + string(poolA) + "/identity/" + string(bob)

	audKey = "cognito-identity.amazonaws.com:aud"
	subKey = "cognito-identity.amazonaws.com:sub"

	// ownData is the policy that AWS's guide gives to the identities of a pool.
	ownData = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "cognito-sync:*",
		"Resource": "arn:aws:cognito-sync:eu-west-1:` + account + `:identitypool/${` + audKey + `}/identity/${` + subKey + `}/*"}]}`
)

// annsKeys are the keys of a request by ann, with more, name after value.
func annsKeys(more ...string) map[string]string {
	keys := map[string]string{audKey: string(poolA), subKey: string(ann)}
	for i := 0; i < len(more); i += 2 {
		keys[more[i]] = more[i+1]
	}
	return keys
}

func parsePolicy(t testing.TB, document string) *tributary.Policy {
	t.Helper()
	p, err := tributary.ParsePolicy(document)
	if err != nil {
		t.Fatalf("%s\n%v", document, err)
	}
	return p
}

// policy2012 writes a policy of such statements, with ' for ", and `'` for '.
func policy2012(statements ...string) string {
	return `{"Version": "2012-10-17", "Statement": [` + quotes.Replace(strings.Join(statements, ", ")) + `]}`
}

var quotes = strings.NewReplacer("`", "'", "'", `"`)

// TestPolicyDecides walks through what IAM documents of policies.
func TestPolicyDecides(t *testing.T) {
	const implicit, allowed, explicit = tributary.ImplicitDeny, tributary.Allowed, tributary.ExplicitDeny
	const anything = "{'Effect': 'Allow', 'Action': '*', 'Resource': '*'}"
	tests := []struct {
		name, policy     string
		action, resource string
		want             tributary.Verdict
	}{
		{"OwnData", ownData, "cognito-sync:ListRecords", annsOwn + "/dataset/d", allowed},
		{"OwnDataList", ownData, "cognito-sync:ListDatasets", annsOwn + "/dataset/null", allowed},
		{"OthersData", ownData, "cognito-sync:ListRecords", bobsOwn + "/dataset/d", implicit},
		{"OtherService", ownData, "s3:GetObject", annsOwn + "/dataset/d", implicit},
		{"ServiceWithTheSameStart", ownData, "cognito-sync-x:List", annsOwn + "/dataset/d", implicit},

		{"ActionHasNoCase", policy2012("{'Effect': 'Allow', 'Action': 'Cognito-Sync:listRECORDS', 'Resource': '*'}"), "cognito-sync:ListRecords", annsOwn, allowed},
		{"ActionAtStart", policy2012("{'Effect': 'Allow', 'Action': 'cognito-sync:List*', 'Resource': '*'}"), "cognito-sync:ListRecords", annsOwn, allowed},
		{"ActionNotAtStart", policy2012("{'Effect': 'Allow', 'Action': 'cognito-sync:List*', 'Resource': '*'}"), "cognito-sync:DeleteDataset", annsOwn, implicit},
		{"ActionOne", policy2012("{'Effect': 'Allow', 'Action': 'cognito-sync:List?ecords', 'Resource': '*'}"), "cognito-sync:ListRecords", annsOwn, allowed},
		{"ActionOneIsNotNone", policy2012("{'Effect': 'Allow', 'Action': 'cognito-sync:List?Records', 'Resource': '*'}"), "cognito-sync:ListRecords", annsOwn, implicit},
		{"ActionIsWhole", policy2012("{'Effect': 'Allow', 'Action': 'cognito-sync:List', 'Resource': '*'}"), "cognito-sync:ListRecords", annsOwn, implicit},
		{"ActionInList", policy2012("{'Effect': 'Allow', 'Action': ['a:b', 'cognito-sync:*Records'], 'Resource': '*'}"), "cognito-sync:ListRecords", annsOwn, allowed},
		{"ActionAnyService", policy2012("{'Effect': 'Allow', 'Action': '*:*', 'Resource': '*'}"), "cognito-sync:ListRecords", annsOwn, allowed},

		{"ResourceHasCase", policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:s3:::Bucket/*'}"), "s3:GetObject", "arn:aws:s3:::bucket/x", implicit},
		{"StarTakesSlashes", policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:s3:::bucket/*/test/*'}"), "s3:GetObject", "arn:aws:s3:::bucket/1///test///o", allowed},
		{"StarTakesNothing", policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:s3:::bucket/*/test/*'}"), "s3:GetObject", "arn:aws:s3:::bucket//test/", allowed},
		{"SlashesAreText", policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:s3:::bucket/*/test/*'}"), "s3:GetObject", "arn:aws:s3:::bucket/1-test/o", implicit},
		{"StarTakesColons", policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:cognito-sync:*'}"), "cognito-sync:ListRecords", annsOwn, allowed},
		{"StarTakesColonsInside", policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:cognito-sync:*:*:identitypool/*/identity/*'}"), "cognito-sync:ListRecords", annsOwn, allowed},
		{"ResourceIsWhole", policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': '" + annsOwn + "'}"), "cognito-sync:ListRecords", annsOwn + "/dataset/d", implicit},
		{"NoResource", policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:*'}"), "cognito-sync:ListIdentityPools", "*", implicit},
		{"NoResourceAsAny", policy2012(anything), "cognito-sync:ListIdentityPools", "*", allowed},
		{"RequestsAreNoPatterns", policy2012("{'Effect': 'Allow', 'Action': 'a:b', 'Resource': 'arn:aws:s3:::bucket/x'}"), "a:*", "arn:aws:s3:::bucket/*", implicit},

		{"NotAction", policy2012("{'Effect': 'Allow', 'NotAction': 'iam:*', 'Resource': '*'}"), "cognito-sync:ListRecords", annsOwn, allowed},
		{"NotActionItself", policy2012("{'Effect': 'Allow', 'NotAction': ['s3:*', 'IAM:*'], 'Resource': '*'}"), "iam:CreateUser", "*", implicit},
		{"DenyNotAction", policy2012(anything, "{'Effect': 'Deny', 'NotAction': 'cognito-sync:*', 'Resource': '*'}"), "iam:CreateUser", "*", explicit},
		{"DenyNotActionItself", policy2012(anything, "{'Effect': 'Deny', 'NotAction': 'cognito-sync:*', 'Resource': '*'}"), "cognito-sync:ListRecords", annsOwn, allowed},
		{"NotResource", policy2012("{'Effect': 'Allow', 'Action': '*', 'NotResource': '" + bobsOwn + "/*'}"), "cognito-sync:ListRecords", annsOwn + "/dataset/d", allowed},
		{"NotResourceItself", policy2012("{'Effect': 'Allow', 'Action': '*', 'NotResource': ['arn:aws:s3:::b', '" + bobsOwn + "/*']}"), "cognito-sync:ListRecords", bobsOwn + "/dataset/d", implicit},
		{"DenyNotResource", policy2012(anything, "{'Effect': 'Deny', 'Action': 's3:*', 'NotResource': ['arn:aws:s3:::hr/payroll', 'arn:aws:s3:::hr/payroll/*']}"), "s3:GetObject", "arn:aws:s3:::hr/else", explicit},
		{"DenyNotResourceItself", policy2012(anything, "{'Effect': 'Deny', 'Action': 's3:*', 'NotResource': ['arn:aws:s3:::hr/payroll', 'arn:aws:s3:::hr/payroll/*']}"), "s3:GetObject", "arn:aws:s3:::hr/payroll/may", allowed},

		{"DenyAfterAllow", policy2012(anything, "{'Effect': 'Deny', 'Action': 'a:b', 'Resource': '*'}"), "a:b", "*", explicit},
		{"DenyBeforeAllow", policy2012("{'Effect': 'Deny', 'Action': 'a:b', 'Resource': '*'}", anything), "a:b", "*", explicit},
		{"DenyOfElse", policy2012("{'Effect': 'Deny', 'Action': 'a:b', 'Resource': '*'}", anything), "a:c", "*", allowed},
		{"DenyAlone", policy2012("{'Effect': 'Deny', 'Action': 'a:b', 'Resource': '*'}"), "a:c", "*", implicit},
		{"SecondStatementAllows", policy2012("{'Effect': 'Allow', 'Action': 'a:b', 'Resource': '*'}", "{'Effect': 'Allow', 'Action': 'a:c', 'Resource': '*'}"), "a:c", "*", allowed},
		{"OneStatementWithoutAList", `{"Id": "x", "Statement": {"Sid": "y", "Effect": "Allow", "Action": "a:b", "Resource": "*", "Condition": {}}}`, "a:b", "*", allowed},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			got := parsePolicy(t, c.policy).Decide(&tributary.Access{Action: c.action, Resource: c.resource, Keys: annsKeys()})
			want(t, c.action+" on "+c.resource, got, c.want)
		})
	}
}

func TestVerdictsHaveNames(t *testing.T) {
	names := fmt.Sprint(tributary.ImplicitDeny, ", ", tributary.Allowed, ", ", tributary.ExplicitDeny)
	want(t, "the verdicts in their order", names, "implicit deny, allowed, explicit deny")
}

// TestPolicyVariables has tags and identities put in, hostile ones among them.
func TestPolicyVariables(t *testing.T) {
	const tag = "aws:PrincipalTag/team"
	const team = "arn:aws:s3:::team-${aws:PrincipalTag/team}/*"
	const other = "arn:aws:s3:::team-${aws:PrincipalTag/team, `company-wide`}/*"
	tests := []struct {
		name, resources string
		keys            []string // with ann's
		resource        string
		allowed         bool
	}{
		{"Value", "'Resource': '" + team + "'", []string{tag, "red"}, "arn:aws:s3:::team-red/x", true},
		{"OtherValue", "'Resource': '" + team + "'", []string{tag, "red"}, "arn:aws:s3:::team-blue/x", false},
		{"StarInAValue", "'Resource': '" + team + "'", []string{tag, "*"}, "arn:aws:s3:::team-blue/x", false},
		{"StarInAValueIsText", "'Resource': '" + team + "'", []string{tag, "*"}, "arn:aws:s3:::team-*/x", true},
		{"OneInAValue", "'Resource': '" + team + "'", []string{tag, "re?"}, "arn:aws:s3:::team-red/x", false},
		{"VariableInAValue", "'Resource': '" + team + "'", []string{tag, "${" + subKey + "}"}, "arn:aws:s3:::team-" + string(ann) + "/x", false},
		{"SpecialInAValue", "'Resource': '" + team + "'", []string{tag, "${*}"}, "arn:aws:s3:::team-*/x", false},
		{"StarInAnIdentity", "'Resource': 'arn:aws:s3:::${" + subKey + "}'", []string{subKey, "*"}, "arn:aws:s3:::" + string(ann), false},
		{"NoValue", "'Resource': '" + team + "'", nil, "arn:aws:s3:::team-/x", false},
		{"NoValueIsNotTheText", "'Resource': '" + team + "'", nil, team, false},
		{"EmptyValue", "'Resource': '" + team + "'", []string{tag, ""}, "arn:aws:s3:::team-/x", false},
		{"NoValueButAnother", "'Resource': ['" + team + "', 'arn:aws:s3:::all/*']", nil, "arn:aws:s3:::all/x", true},
		{"NameHasNoCase", "'Resource': 'arn:aws:s3:::${AWS:principaltag/TEAM}'", []string{tag, "red"}, "arn:aws:s3:::red", true},
		{"ValueHasCase", "'Resource': 'arn:aws:s3:::${aws:PrincipalTag/team}'", []string{tag, "Red"}, "arn:aws:s3:::red", false},
		{"ExactNameFirst", "'Resource': 'arn:aws:s3:::${aws:PrincipalTag/team}'", []string{tag, "red", "aws:PrincipalTag/TEAM", "blue"}, "arn:aws:s3:::red", true},
		{"LeastNameNext", "'Resource': 'arn:aws:s3:::${aws:PrincipalTag/Team}'", []string{tag, "red", "aws:PrincipalTag/TEAM", "blue"}, "arn:aws:s3:::blue", true},
		{"NameWithASpace", "'Resource': 'arn:aws:s3:::${aws:PrincipalTag/cost center}'", []string{"aws:PrincipalTag/cost center", "9"}, "arn:aws:s3:::9", true},
		{"ManyVariables", "'Resource': 'arn:aws:s3:::" + strings.Repeat("${aws:PrincipalTag/team}-", 40) + "'", []string{tag, "red"}, "arn:aws:s3:::" + strings.Repeat("red-", 40), true},

		{"DefaultIsNotNeeded", "'Resource': '" + other + "'", []string{tag, "red"}, "arn:aws:s3:::team-red/x", true},
		{"DefaultGivesWay", "'Resource': '" + other + "'", []string{tag, "red"}, "arn:aws:s3:::team-company-wide/x", false},
		{"Default", "'Resource': '" + other + "'", nil, "arn:aws:s3:::team-company-wide/x", true},
		{"DefaultForAnEmptyValue", "'Resource': '" + other + "'", []string{tag, ""}, "arn:aws:s3:::team-company-wide/x", true},
		{"StarInADefault", "'Resource': 'arn:aws:s3:::${x:y, `*`}'", nil, "arn:aws:s3:::z", false},
		{"BraceInADefault", "'Resource': 'arn:aws:s3:::${x:y,`a}, b` }'", nil, "arn:aws:s3:::a}, b", true},
		{"EmptyDefault", "'Resource': 'arn:aws:s3:::a${x:y, ``}b'", nil, "arn:aws:s3:::ab", true},
		{"EmptyDefaultAtTheEnd", "'Resource': 'arn:aws:s3:::*${x:y, ``}'", nil, "arn:aws:s3:::a", true},

		{"LiteralStar", "'Resource': 'arn:aws:s3:::a${*}b'", nil, "arn:aws:s3:::a*b", true},
		{"LiteralStarIsNoWildcard", "'Resource': 'arn:aws:s3:::a${*}b'", nil, "arn:aws:s3:::axb", false},
		{"LiteralOne", "'Resource': 'arn:aws:s3:::a${?}b${?}'", nil, "arn:aws:s3:::a?b?", true},
		{"LiteralOneIsNoWildcard", "'Resource': 'arn:aws:s3:::a${?}'", nil, "arn:aws:s3:::ax", false},
		{"LiteralDollar", "'Resource': 'arn:aws:s3:::${$}{" + subKey + "}$5'", nil, "arn:aws:s3:::${" + subKey + "}$5", true},
		{"BothLiteralsAreOneName", "'Resource': 'arn:aws:s3:::${*?}'", nil, "arn:aws:s3:::*?", false},

		{"NotResource", "'NotResource': '" + team + "'", []string{tag, "red"}, "arn:aws:s3:::team-blue/x", true},
		{"NotResourceItself", "'NotResource': '" + team + "'", []string{tag, "red"}, "arn:aws:s3:::team-red/x", false},
		{"NotResourceNoValue", "'NotResource': '" + team + "'", nil, "arn:aws:s3:::team-blue/x", false},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			p := parsePolicy(t, policy2012("{'Effect': 'Allow', 'Action': 's3:*', "+c.resources+"}"))
			got := p.Decide(&tributary.Access{Action: "s3:GetObject", Resource: c.resource, Keys: annsKeys(c.keys...)})
			want(t, c.resource, got == tributary.Allowed, c.allowed)
		})
	}
}

// TestPolicyDeniesAllButNothing has a variable without a value in a statement
// that denies all but what it names: it names nothing then.
func TestPolicyDeniesAllButNothing(t *testing.T) {
	p := parsePolicy(t, policy2012("{'Effect': 'Deny', 'Action': '*', 'NotResource': ['arn:aws:s3:::${x:y}', 'arn:aws:s3:::open']}"))
	for resource, verdict := range map[string]tributary.Verdict{
		"arn:aws:s3:::a":    tributary.ExplicitDeny,
		"arn:aws:s3:::open": tributary.ImplicitDeny,
	} {
		want(t, resource, p.Decide(&tributary.Access{Action: "s3:GetObject", Resource: resource}), verdict)
	}
}

// TestPolicyOf2008 has variables as plain text, with their wildcards.
func TestPolicyOf2008(t *testing.T) {
	for _, version := range []string{"", `"Version": "2008-10-17", `} {
		p := parsePolicy(t, `{`+version+`"Statement": {"Effect": "Allow", "Action": "*",
			"Resource": ["arn:aws:s3:::${`+subKey+`}", "arn:aws:s3:::x${*}", "arn:aws:s3:::${"]}}`)
		for resource, allowed := range map[string]bool{
			"arn:aws:s3:::" + string(ann):      false,
			"arn:aws:s3:::${" + subKey + "}":   true,
			"arn:aws:s3:::x${any text at all}": true,
			"arn:aws:s3:::${":                  true,
		} {
			got := p.Decide(&tributary.Access{Action: "s3:GetObject", Resource: resource, Keys: annsKeys()})
			want(t, version+resource, got == tributary.Allowed, allowed)
		}
	}
}

// TestPolicyConditions has every operator come out both ways, and without its
// key.
func TestPolicyConditions(t *testing.T) {
	const none = "\x00" // the request lacks the key
	tests := []struct {
		condition string
		hold      []string // the values of k:k with which it holds
		fail      []string
	}{
		{"'StringEquals': {'k:k': 'Red'}", []string{"Red"}, []string{"red", "Red ", "", none}},
		{"'StringEquals': {'K:K': 'Red'}", []string{"Red"}, []string{"red", none}},
		{"'StringEquals': {'k:k': ['Red', 'Blue']}", []string{"Red", "Blue"}, []string{"Green", none}},
		{"'StringEquals': {'k:k': 'R*'}", []string{"R*"}, []string{"Red", none}},
		{"'StringEquals': {'k:k': ''}", []string{""}, []string{"Red", none}},
		{"'StringEquals': {'k:k': 123456789012}", []string{"123456789012"}, []string{"1.23456789012e+11", none}},
		{"'StringEquals': {'k:k': true}", []string{"true"}, []string{"True", none}},
		{"'StringEqualsIfExists': {'k:k': 'Red'}", []string{"Red", none}, []string{"red", ""}},
		{"'StringNotEquals': {'k:k': 'Red'}", []string{"red", "", none}, []string{"Red"}},
		{"'StringNotEquals': {'k:k': ['Red', 'Blue']}", []string{"Green", none}, []string{"Red", "Blue"}},
		{"'StringNotEqualsIfExists': {'k:k': 'Red'}", []string{"red", none}, []string{"Red"}},
		{"'StringEqualsIgnoreCase': {'k:k': 'Straße-K'}", []string{"STRAßE-k", "straße-\u212a"}, []string{"Strasse-K", none}},
		{"'StringEqualsIgnoreCaseIfExists': {'k:k': 'red'}", []string{"RED", none}, []string{"blue"}},
		{"'StringNotEqualsIgnoreCase': {'k:k': 'red'}", []string{"blue", none}, []string{"RED", "red"}},
		{"'StringLike': {'k:k': 'R?d*'}", []string{"Red", "Rod of iron"}, []string{"Rd", "red", none}},
		{"'StringLike': {'k:k': '?'}", []string{"x", "é", "😀"}, []string{"", "xx", none}},
		{"'StringLike': {'k:k': '*???'}", []string{"xxx", "xéé😀"}, []string{"é", "😀", none}},
		{"'StringLikeIfExists': {'k:k': 'R*'}", []string{"Red", none}, []string{"Blue"}},
		{"'StringNotLike': {'k:k': 'R*'}", []string{"Blue", none}, []string{"Red"}},
		{"'Bool': {'k:k': true}", []string{"true", "True"}, []string{"false", "yes", none}},
		{"'Bool': {'k:k': 'FALSE'}", []string{"false"}, []string{"true", "", none}},
		{"'BoolIfExists': {'k:k': 'true'}", []string{"true", none}, []string{"false"}},
		{"'Null': {'k:k': 'true'}", []string{none}, []string{"x", "", "true"}},
		{"'Null': {'k:k': false}", []string{"x", "", "true"}, []string{none}},
		{"'Null': {'k:k': ['true', 'False']}", []string{"x", none}, nil},

		{"'ForAnyValue:StringEquals': {'k:k': ['Red', 'Blue']}", []string{"Red", "Blue"}, []string{"Green", none}},
		{"'ForAnyValue:StringEquals': {'k:k': ''}", nil, []string{"", none}},
		{"'ForAnyValue:StringNotEquals': {'k:k': 'Red'}", []string{"Blue"}, []string{"Red", "", none}},
		{"'ForAnyValue:StringLikeIfExists': {'k:k': 'R*'}", []string{"Red"}, []string{"Blue", none}},
		{"'ForAllValues:StringLike': {'k:k': 'R*'}", []string{"Red", "", none}, []string{"Blue"}},
		{"'ForAllValues:StringNotLike': {'k:k': 'R*'}", []string{"Blue", "", none}, []string{"Red"}},

		{"'StringEquals': {'k:k': '${" + subKey + "}'}", []string{string(ann)}, []string{"${" + subKey + "}", none}},
		{"'StringEqualsIgnoreCase': {'k:k': 'x-${" + subKey + "}'}", []string{"X-" + strings.ToUpper(string(ann))}, []string{"x-", none}},
		{"'StringLike': {'k:k': '${x:star}*'}", []string{"*", "*x"}, []string{"", "x", none}},
		{"'StringLike': {'k:k': '${*}'}", []string{"*"}, []string{"x", none}},
		{"'StringEquals': {'k:k': '${x:y}'}", nil, []string{"", "${x:y}", none}},
		{"'StringEquals': {'k:k': ['${x:y}', 'Red']}", []string{"Red"}, []string{"", none}},
		{"'StringNotEquals': {'k:k': '${x:y}'}", []string{"Red", "", none}, nil},
		{"'StringEquals': {'k:k': '${x:y, `Red`}'}", []string{"Red"}, []string{"", none}},

		{"'ArnLike': {'k:k': 'arn:aws:iam::*:user/A?IA*'}", []string{"arn:aws:iam::1:user/AKIA", "arn:aws:iam::1:user/ASIA5"}, []string{"arn:aws:iam::1:user/AIA", "arn:aws:iam::1:role/AKIA", none}},
		{"'ArnEquals': {'k:k': 'arn:aws:iam::1:user/${" + subKey + "}'}", []string{"arn:aws:iam::1:user/" + string(ann)}, []string{"arn:aws:iam::1:user/" + string(bob), none}},
		{"'ArnNotEquals': {'k:k': 'arn:aws:iam::1:user/*'}", []string{"arn:aws:iam::2:user/AKIA", none}, []string{"arn:aws:iam::1:user/AKIA"}},
		{"'ArnNotLike': {'k:k': ['arn:aws:iam::1:user/*', 'arn:aws:iam::2:*']}", []string{"arn:aws:iam::3:user/AKIA", none}, []string{"arn:aws:iam::1:user/AKIA", "arn:aws:iam::2:role/a"}},

		{"'NumericEquals': {'k:k': 10}", []string{"10", "10.0", "1e1"}, []string{"9.99", "-10", "ten", "0xa", "", none}},
		{"'NumericNotEquals': {'k:k': '10'}", []string{"9", "ten", none}, []string{"10"}},
		{"'NumericLessThan': {'k:k': -2.5}", []string{"-3"}, []string{"-2.5", "-2", "x", none}},
		{"'NumericLessThan': {'k:k': 10}", []string{"9"}, []string{"ten", "", none}},
		{"'NumericLessThanEquals': {'k:k': 10}", []string{"10", "9"}, []string{"10.1", none}},
		{"'NumericGreaterThan': {'k:k': 10}", []string{"10.1", "100"}, []string{"10", "9", none}},
		{"'NumericGreaterThanEquals': {'k:k': [10, 5]}", []string{"10", "5", "100"}, []string{"4", none}},
		{"'NumericGreaterThanIfExists': {'k:k': 10}", []string{"11", none}, []string{"10"}},

		{"'DateEquals': {'k:k': '2026-11-23T19:36:33Z'}", []string{"2026-11-23T19:36:33Z", "2026-11-23T20:36:33+01:00", "1795462593"}, []string{"2026-11-23T19:36:34Z", "x", none}},
		{"'DateNotEquals': {'k:k': '2026-11-23T19:36Z'}", []string{"2026-11-23T19:36:01Z", none}, []string{"2026-11-23T19:36:00Z"}},
		{"'DateLessThan': {'k:k': '2026-11-23'}", []string{"2026-11-22T23:59:59.5Z"}, []string{"2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z", none}},
		{"'DateLessThanEquals': {'k:k': 1795462593}", []string{"2026-11-23T19:36:33Z", "1795462592"}, []string{"1795462593.5", none}},
		{"'DateGreaterThan': {'k:k': '2026-11-23T19:36:33Z'}", []string{"2026-11-23T19:36:34Z"}, []string{"2026-11-23T19:36:33Z", "2026-11-23T19:36:33+01:00", none}},
		{"'DateGreaterThanEquals': {'k:k': '2026-11-23T19:36:33Z'}", []string{"2026-11-23T19:36:33Z", "2027-01-01T00:00:00Z"}, []string{"2026-11-23T19:36:32Z", none}},

		{"'IpAddress': {'k:k': '203.0.113.7'}", []string{"203.0.113.7", "::ffff:203.0.113.7"}, []string{"203.0.113.8", "2001:db8::1", "x", none}},
		{"'IpAddress': {'k:k': ['203.0.113.77/24', '2001:db8::/32']}", []string{"203.0.113.1", "2001:db8:1::1"}, []string{"203.0.114.1", "2001:db9::1", none}},
		{"'IpAddress': {'k:k': '::ffff:203.0.113.0/120'}", []string{"203.0.113.9"}, []string{"203.0.114.9", none}},
		{"'NotIpAddress': {'k:k': ['203.0.113.0/24', '::1']}", []string{"203.0.114.1", "::2", "x", none}, []string{"203.0.113.1", "::1"}},
		{"'NotIpAddressIfExists': {'k:k': '0.0.0.0/0'}", []string{"::1", none}, []string{"203.0.113.1"}},

		{"'StringLike': {'k:k': 'R*'}, 'StringNotEquals': {'k:k': 'Red'}", []string{"Rod"}, []string{"Red", "Blue", none}},
		{"'StringLike': {'k:k': 'R*', 'x:star': '${*}'}", []string{"Rod"}, []string{"Blue", none}},
		{"'StringLike': {'k:k': 'R*', 'x:star': 'x'}", nil, []string{"Rod", "x", none}},
		{"'StringLike': {}", []string{"Rod", none}, nil},
	}
	for _, c := range tests {
		p := parsePolicy(t, policy2012("{'Effect': 'Deny', 'Action': '*', 'Resource': '*', 'Condition': {"+c.condition+"}}"))
		check := func(values []string, holds tributary.Verdict) {
			for _, v := range values {
				a := tributary.Access{Action: "a:b", Resource: "*", Keys: annsKeys("x:star", "*", "k:k", v)}
				if v == none {
					maps.DeleteFunc(a.Keys, func(k, _ string) bool { return k == "k:k" })
				}
				if got := p.Decide(&a); got != holds {
					t.Errorf("%s with %q: %v, want %v", c.condition, v, got, holds)
				}
			}
		}
		check(c.hold, tributary.ExplicitDeny)
		check(c.fail, tributary.ImplicitDeny)
	}
}

// TestPolicyRefused has documents that are wrong, and what is said of them.
func TestPolicyRefused(t *testing.T) {
	with := func(members string) string {
		return policy2012("{'Effect': 'Allow', 'Action': 'a:b', 'Resource': '*', " + members + "}")
	}
	const operators = "is not an operator, it must be StringEquals, StringNotEquals, StringEqualsIgnoreCase, StringNotEqualsIgnoreCase, StringLike, StringNotLike, ArnEquals, ArnLike, ArnNotEquals, ArnNotLike, NumericEquals, NumericNotEquals, NumericLessThan, NumericLessThanEquals, NumericGreaterThan, NumericGreaterThanEquals, DateEquals, DateNotEquals, DateLessThan, DateLessThanEquals, DateGreaterThan, DateGreaterThanEquals, IpAddress, NotIpAddress, Bool or Null, all but the last also with ForAllValues: or ForAnyValue: before or IfExists after it"
	const actions = `is not an action, it must be "*" or a service and an action's name, such as cognito-sync:ListRecords, of letters, digits, -, _, * and ?`
	const notATime = " is not a value of DateLessThan, it must be a time such as 2026-11-23T19:36:33Z, a day such as 2026-11-23, which is its start in UTC, or seconds since 1970"
	const notANetwork = " is not a value of IpAddress, it must be an address or a network, such as 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32"
	const wellFormed = "is not well formed, it must be ${key}, ${key, 'default'}, ${*}, ${?} or ${$}"
	for _, c := range []struct{ document, text string }{
		{"", "it is not JSON: line 1, column 1: unexpected end of JSON input"},
		{"\ufeff{}", "it begins with a byte order mark, save it as UTF-8 without one"},
		{"{\n  \"Id\": \"é\", x}", "it is not JSON: line 2, column 14: invalid character 'x' looking for beginning of object key string"},
		{"{\r\n\r\n}}", "it is not JSON: line 3, column 2: invalid character '}' after top-level value"},
		{"{", "it is not JSON: line 1, column 1: unexpected end of JSON input"},
		{with("'Sid': 'x'") + "x", "it is not JSON: line 1, column 108: invalid character 'x' after top-level value"},
		{"{\"Id\": \"\xff\"}", "it is not in UTF-8"},
		{strings.Repeat(" ", tributary.MaxPolicyLength-1) + "[]", "it has 20481 bytes, it must have at most 20480"},
		{"[]", "[] is not an object"},
		{"null", "null is not an object"},
		{"{}", "it has no Statement, it must have at least one"},
		{`{"Version": "2012-10-17"}`, "it has no Statement, it must have at least one"},
		{`{"Version": "2020-01-01"}`, `Version: "2020-01-01" is not known, it must be 2012-10-17 or 2008-10-17`},
		{`{"Version": 2012}`, "Version: 2012 is not a text"},
		{`{"Id": 1}`, "Id: 1 is not a text"},
		{`{"statement": []}`, "statement: it is not a member of a policy, those are Version, Id and Statement"},
		{`{"Id": "a", "Id": "b"}`, `"Id" is there twice`},
		{policy2012(), "Statement: the list is empty, it must have at least one element"},
		{`{"Statement": "x"}`, `statement 1: "x" is not an object`},
		{policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': '*'}", "{}"), "statement 2: it has no Effect, it must have one, Allow or Deny"},

		{policy2012("{'Effect': 'allow', 'Action': '*', 'Resource': '*'}"), `statement 1: Effect: "allow" is not known, it must be Allow or Deny`},
		{policy2012("{'Effect': 'Allow', 'Resource': '*'}"), "statement 1: it must have either Action or NotAction"},
		{policy2012("{'Effect': 'Allow', 'Action': '*'}"), "statement 1: it must have either Resource or NotResource"},
		{with("'NotAction': 'c:d'"), "statement 1: NotAction: the statement has the other of the two already, it must have one"},
		{with("'NotResource': 'arn:aws:s3:::b'"), "statement 1: NotResource: the statement has the other of the two already, it must have one"},
		{with("'Effect': 'Deny'"), `statement 1: "Effect" is there twice`},
		{with("'Sid': null"), "statement 1: Sid: null is not a text"},
		{with("'Principal': '*'"), "statement 1: Principal: a policy of an access key or a role cannot have it, since it speaks of whoever has that"},
		{with("'NotPrincipal': '*'"), "statement 1: NotPrincipal: a policy of an access key or a role cannot have it, since it speaks of whoever has that"},
		{with("'condition': {}"), "statement 1: condition: it is not a member of a statement, those are Sid, Effect, Action, NotAction, Resource, NotResource and Condition"},

		{policy2012("{'Effect': 'Allow', 'Action': [], 'Resource': '*'}"), "statement 1: Action: the list is empty, it must have at least one element"},
		{policy2012("{'Effect': 'Allow', 'Action': [['a:b']], 'Resource': '*'}"), `statement 1: Action: ["a:b"] is not a text`},
		{policy2012("{'Effect': 'Allow', 'Action': 'ListRecords', 'Resource': '*'}"), `statement 1: Action: "ListRecords" ` + actions},
		{policy2012("{'Effect': 'Allow', 'Action': ['a:b', 'a:'], 'Resource': '*'}"), `statement 1: Action: "a:" ` + actions},
		{policy2012("{'Effect': 'Allow', 'Action': ':b', 'Resource': '*'}"), `statement 1: Action: ":b" ` + actions},
		{policy2012("{'Effect': 'Allow', 'Action': 'a:b ', 'Resource': '*'}"), `statement 1: Action: "a:b " ` + actions},
		{policy2012("{'Effect': 'Allow', 'Action': 'a b:c', 'Resource': '*'}"), `statement 1: Action: "a b:c" ` + actions},
		{policy2012("{'Effect': 'Allow', 'Action': 'a:b:c', 'Resource': '*'}"), `statement 1: Action: "a:b:c" ` + actions},
		{policy2012("{'Effect': 'Allow', 'Action': 'a:${x}', 'Resource': '*'}"), `statement 1: Action: "a:${x}" ` + actions},
		{policy2012("{'Effect': 'Allow', 'NotAction': '', 'Resource': '*'}"), `statement 1: NotAction: "" ` + actions},

		{policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': []}"), "statement 1: Resource: the list is empty, it must have at least one element"},
		{policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': ''}"), `statement 1: Resource: "" is not a resource, it must be "*" or an ARN, such as arn:aws:cognito-sync:*:*:identitypool/*`},
		{policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': '**'}"), `statement 1: Resource: "**" is not a resource, it must be "*" or an ARN, such as arn:aws:cognito-sync:*:*:identitypool/*`},
		{policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:cognito-sync:${a:b:c:d}'}"), `statement 1: Resource: "arn:aws:cognito-sync:${a:b:c:d}" has 4 parts, an ARN has 6: arn:partition:service:region:account:resource, of which a * can stand for the last`},
		{policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:'}"), `statement 1: Resource: "arn:" has 2 parts, an ARN has 6: arn:partition:service:region:account:resource, of which a * can stand for the last`},
		{policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:a:b:c:d:${'}"), `statement 1: Resource: the variable in "${" ` + wellFormed},
		{policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:a:b:c:d:${ }'}"), `statement 1: Resource: the variable in "${ }" ` + wellFormed},
		{policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:a:b:c:d:${x${y}'}"), `statement 1: Resource: the variable in "${x${y}" ` + wellFormed},
		{policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:a:b:c:d:${x, y}'}"), `statement 1: Resource: the variable in "${x, y}" ` + wellFormed},
		{policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:a:b:c:d:${x, y`}'}"), `statement 1: Resource: the variable in "${x, y'}" ` + wellFormed},
		{policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:a:b:c:d:${x, `y}'}"), `statement 1: Resource: the variable in "${x, 'y}" ` + wellFormed},
		{policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:a:b:c:d:${x, `y`z}'}"), `statement 1: Resource: the variable in "${x, 'y'z}" ` + wellFormed},

		{with("'Condition': null"), "statement 1: Condition: null is not an object"},
		{with("'Condition': {'BinaryEquals': {}}"), `statement 1: Condition: "BinaryEquals" ` + operators},
		{with("'Condition': {'stringEquals': {}}"), `statement 1: Condition: "stringEquals" ` + operators},
		{with("'Condition': {'StringEqualsIfExistsIfExists': {}}"), `statement 1: Condition: "StringEqualsIfExistsIfExists" ` + operators},
		{with("'Condition': {'ForAnyValue:ForAllValues:Bool': {}}"), `statement 1: Condition: "ForAnyValue:ForAllValues:Bool" ` + operators},
		{with("'Condition': {'NullIfExists': {}}"), `statement 1: Condition: "NullIfExists" ` + operators},
		{with("'Condition': {'ForAnyValue:Null': {}}"), `statement 1: Condition: "ForAnyValue:Null" ` + operators},
		{with("'Condition': {'': {}}"), `statement 1: Condition: "" ` + operators},
		{with("'Condition': {'Bool': {}, 'Bool': {}}"), `statement 1: Condition: "Bool" is there twice`},
		{with("'Condition': {'Bool': 'true'}"), `statement 1: Condition: Bool: "true" is not an object`},
		{with("'Condition': {'Bool': {'': 'true'}}"), "statement 1: Condition: Bool: : the name of a condition key is empty"},
		{with("'Condition': {'Bool': {'a:b': []}}"), "statement 1: Condition: Bool: a:b: the list is empty, it must have at least one element"},
		{with("'Condition': {'Bool': {'a:b': 'yes'}}"), `statement 1: Condition: Bool: a:b: "yes" is not a value of Bool, it must be true or false`},
		{with("'Condition': {'Null': {'a:b': '${x}'}}"), `statement 1: Condition: Null: a:b: "${x}" is not a value of Null, it must be true or false`},
		{with("'Condition': {'StringLike': {'a:b': [{}]}}"), "statement 1: Condition: StringLike: a:b: {} is not a value, it must be a text, a number or a boolean"},
		{with("'Condition': {'StringLike': {'a:b': null}}"), "statement 1: Condition: StringLike: a:b: null is not a value, it must be a text, a number or a boolean"},
		{with("'Condition': {'NumericEquals': {'a:b': '1x'}}"), `statement 1: Condition: NumericEquals: a:b: "1x" is not a value of NumericEquals, it must be a number, such as 10 or -2.5`},
		{with("'Condition': {'NumericEquals': {'a:b': '0x10'}}"), `statement 1: Condition: NumericEquals: a:b: "0x10"` + " is not a value of NumericEquals, it must be a number, such as 10 or -2.5"},
		{with("'Condition': {'NumericEquals': {'a:b': 'inf'}}"), `statement 1: Condition: NumericEquals: a:b: "inf"` + " is not a value of NumericEquals, it must be a number, such as 10 or -2.5"},
		{with("'Condition': {'DateLessThan': {'a:b': 'today'}}"), `statement 1: Condition: DateLessThan: a:b: "today"` + notATime},
		{with("'Condition': {'DateLessThan': {'a:b': '2026-11-23T19:36:33'}}"), `statement 1: Condition: DateLessThan: a:b: "2026-11-23T19:36:33"` + notATime},
		{with("'Condition': {'DateLessThan': {'a:b': 2026}}"), `statement 1: Condition: DateLessThan: a:b: "2026"` + notATime},
		{with("'Condition': {'DateLessThan': {'a:b': 20261123}}"), `statement 1: Condition: DateLessThan: a:b: "20261123"` + notATime},
		{with("'Condition': {'DateLessThan': {'a:b': 1795462593000}}"), `statement 1: Condition: DateLessThan: a:b: "1795462593000"` + notATime},
		{with("'Condition': {'IpAddress': {'a:b': '203.0.113.0/33'}}"), `statement 1: Condition: IpAddress: a:b: "203.0.113.0/33"` + notANetwork},
		{with("'Condition': {'IpAddress': {'a:b': '203.0.113.*'}}"), `statement 1: Condition: IpAddress: a:b: "203.0.113.*"` + notANetwork},
		{with("'Condition': {'IpAddress': {'a:b': 'fe80::1%eth0'}}"), `statement 1: Condition: IpAddress: a:b: "fe80::1%eth0"` + notANetwork},
		{with("'Condition': {'IpAddress': {'a:b': '::ffff:203.0.113.0/90'}}"), `statement 1: Condition: IpAddress: a:b: "::ffff:203.0.113.0/90"` + notANetwork},
		{with("'Condition': {'ArnLike': {'a:b': 'user/AKIA'}}"), `statement 1: Condition: ArnLike: a:b: "user/AKIA" is not a resource, it must be "*" or an ARN, such as arn:aws:cognito-sync:*:*:identitypool/*`},
		{with("'Condition': {'StringLike': {'a:b': '${'}}"), `statement 1: Condition: StringLike: a:b: the variable in "${" ` + wellFormed},
	} {
		p, err := tributary.ParsePolicy(c.document)
		if got := tributary.Message(err); p != nil || tributary.KindOf(err) != tributary.Invalid || got != "The policy is not valid: "+c.text {
			t.Errorf("%.200s\n gave %q\n want %q", c.document, got, c.text)
		}
	}
}

// TestPolicyOfFullLength has a document as long as one can be.
func TestPolicyOfFullLength(t *testing.T) {
	p := parsePolicy(t, ownData+strings.Repeat(" ", tributary.MaxPolicyLength-len(ownData)))
	want(t, "the verdict", p.Decide(&tributary.Access{Action: "cognito-sync:ListRecords", Resource: annsOwn + "/x", Keys: annsKeys()}), tributary.Allowed)
}

// TestPolicyAllocatesNothing holds Decide to its promise.
func TestPolicyAllocatesNothing(t *testing.T) {
	a := tributary.Access{Action: "cognito-sync:ListRecords", Resource: annsOwn + "/dataset/d", Keys: annsKeys()}
	for _, document := range []string{ownData, annsPolicy} {
		p := parsePolicy(t, document)
		want(t, "the verdict", p.Decide(&a), tributary.Allowed)
		want(t, "the number of allocations", testing.AllocsPerRun(100, func() { p.Decide(&a) }), 0)
	}
}

// annsPolicy allows what ownData allows ann, without variables.
var annsPolicy = policy2012(fmt.Sprintf("{'Effect': 'Allow', 'Action': 'cognito-sync:*', 'Resource': '%s/*'}", annsOwn))

func BenchmarkPolicyDecide(b *testing.B) {
	a := tributary.Access{Action: "cognito-sync:ListRecords", Resource: annsOwn + "/dataset/d", Keys: annsKeys()}
	for name, document := range map[string]string{"Prefix": annsPolicy, "Variables": ownData} {
		b.Run(name, func(b *testing.B) {
			p := parsePolicy(b, document)
			b.ReportAllocs()
			for b.Loop() {
				if p.Decide(&a) != tributary.Allowed {
					b.Fatal("not allowed")
				}
			}
		})
	}
}
