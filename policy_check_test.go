package tributary_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tributary"
)

// TestCheckPolicy: what nothing here matches is refused when it is set, with
// what it should be, and goes on to be read where it is stored.
func TestCheckPolicy(t *testing.T) {
	action := func(text string) string {
		return policy2012("{'Effect': 'Deny', 'Action': ['s3:Get*', '" + text + "'], 'Resource': '*'}")
	}
	resource := func(text string) string {
		return policy2012("{'Effect': 'Allow', 'Action': 's3:*', 'Resource': '*'}", "{'Effect': 'Deny', 'Action': '*', 'Resource': '"+text+"'}")
	}
	allow := func(action, resource string) string {
		return policy2012("{'Effect': 'Allow', 'Action': '" + action + "', 'Resource': '" + resource + "'}")
	}
	const first, second = "The policy is not valid: statement 1: Action: ", "The policy is not valid: statement 2: Resource: "
	const must = " this server's, " + account + " (serve --account), or *"
	const ofAccount = ` matches nothing here: its account is "999999999999", it must be` + must
	const pool = "arn:aws:cognito-sync:REGION:ACCOUNT:identitypool/POOL"
	const sync = " matches nothing here: it must be " + pool + " or " + pool + "/identity/ID or " + pool + "/identity/ID/dataset/NAME"
	const identity, stream, user = " matches nothing here: it must be arn:aws:cognito-identity:REGION:ACCOUNT:identitypool/POOL", " matches nothing here: it must be arn:aws:kinesis:REGION:ACCOUNT:stream/STREAM or arn:aws:kinesis:REGION:ACCOUNT:stream/STREAM/consumer/CONSUMER:SECOND", " matches nothing here: it must be arn:aws:iam::ACCOUNT:user/KEY"
	const partition = ` matches nothing here: its partition is "aws-cn", it must be aws`
	for document, text := range map[string]string{
		"":                                   "",
		ownData:                              "",
		action("*"):                          "",
		action("*:ListRecords"):              "",
		action("*:Quux"):                     first + "*:Quux matches no action of cognito-sync, cognito-identity, kinesis, sts, tributary",
		action("*:DeleteDatasets"):           first + "*:DeleteDatasets matches no action; did you mean cognito-sync:DeleteDataset?",
		action("cognito-*:ListRecord"):       first + "cognito-*:ListRecord matches no action; did you mean cognito-sync:ListRecords?",
		action("cognito-i*:AdminGetUser"):    first + "cognito-i*:AdminGetUser matches no action; those of cognito-identity are ",
		action("cognito-syn?:ListRecord"):    first + "cognito-syn?:ListRecord matches no action; did you mean cognito-sync:ListRecords?",
		action("cognitosync:ListRecords"):    first + "cognitosync:ListRecords matches no action; did you mean cognito-sync:ListRecords?",
		action("cognito_sync:*"):             first + "cognito_sync:* matches no action; did you mean cognito-sync:*?",
		action("Kineses:PutRecord"):          first + "Kineses:PutRecord matches no action; did you mean kinesis:PutRecord?",
		action("sns:Publish"):                "", // one letter from sts
		action("ram:Get*"):                   "", // one letter from iam
		action("kinesisvideo:*"):             "",
		action("cognito-sync:*"):             "",
		action("Cognito-Sync:LISTrecords"):   "",
		action("cognito-sync:List?ecords"):   "",
		action("cognito-sync:QueryRecords"):  "",
		action("kinesis:PutRecord"):          "",
		action("sts:AssumeRole"):             "",
		action("mobileanalytics:PutEvents"):  "",
		action("cognito-idp:ListRecord"):     "",
		action("tributary:Query"):            "",
		action("cognito-sync:ListRecord"):    first + "cognito-sync:ListRecord matches no action; did you mean cognito-sync:ListRecords?",
		action("Cognito-Sync:UpdateRecord?"): "",
		action("Cognito-Sync:UpdateRecord"):  first + "Cognito-Sync:UpdateRecord matches no action; did you mean cognito-sync:UpdateRecords?",
		action("cognito-identity:Creat*"):    "",
		action("cognito-identity:Crate*"):    first + "cognito-identity:Crate* matches no action; those of cognito-identity are CreateIdentityPool, ",
		action("kinesis:ListShard?s"):        first + "kinesis:ListShard?s matches no action; did you mean kinesis:ListShards?",
		action("sts:GetCaller"):              first + "sts:GetCaller matches no action; those of sts are AssumeRoleWithWebIdentity, GetCallerIdentity",
		action("tributary:ListRecords"):      first + "tributary:ListRecords matches no action; those of tributary are Backup, CreateAccessKey, ",
		action("tributary:ListAudits"):       first + "tributary:ListAudits matches no action; did you mean tributary:ListAudit?",
		policy2012("{'Effect': 'Allow', 'NotAction': 'kinesis:GetRecord', 'Resource': '*'}"): "The policy is not valid: statement 1: NotAction: kinesis:GetRecord matches no action; did you mean kinesis:GetRecords?",

		allow("cognito-*:AdminGetUser", "*"):                                            "",
		allow("kinesis*:CreateSignalingChannel", "*"):                                   "",
		allow("s?s:SendMessage", "*"):                                                   "",
		allow("cognito-syn?:ListRecord", "*"):                                           "The policy is not valid: statement 1: Action: cognito-syn?:ListRecord matches no action; did you mean cognito-sync:ListRecords?",
		allow("cognitosync:ListRecords", "*"):                                           "The policy is not valid: statement 1: Action: cognitosync:ListRecords matches no action; did you mean cognito-sync:ListRecords?",
		allow("*", "arn:aws:cognito-*:*:999999999999:userpool/*"):                       "",
		allow("*", "arn:aws:*:us-east-1:999999999999:table/a"):                          "",
		allow("*", "arn:aws:kinesi?:*:*:stream/a/b"):                                    `The policy is not valid: statement 1: Resource: "arn:aws:kinesi?:*:*:stream/a/b"` + stream,
		allow("*", "arn:aws:kinesis:*:*:stream/a/b"):                                    `The policy is not valid: statement 1: Resource: "arn:aws:kinesis:*:*:stream/a/b"` + stream,
		policy2012("{'Effect': 'Allow', 'NotAction': '*:ListRecord', 'Resource': '*'}"): "The policy is not valid: statement 1: NotAction: *:ListRecord matches no action; did you mean cognito-sync:ListRecords?",

		resource("arn:aws:cognito-sync:*"):                                                  "",
		resource("arn:aws:cognito-sync:*:*:identitypool/*"):                                 "",
		resource("arn:aws:cognito-sync:*:*:*"):                                              "",
		resource("arn:aws:cognito-sync:*:*:identity*"):                                      "",
		resource("arn:aws:cognito-sync:?????????:1234567890??:identitypool/*"):              "",
		resource("arn:aws*:cognito-sync:*:*:identitypool/*"):                                "",
		resource("arn:aws:cognito-sync:us-east-1:${aws:PrincipalTag/a}:identitypool/*"):     "",
		resource("arn:aws:cognito-sync:*:" + account + ":identitypool/${" + audKey + "}/*"): "",
		resource("arn:aws:kinesis:us-east-1:" + account + "*"):                              "",
		resource("arn:aws:kinesis:us-east-1:" + account + ":stream/a"):                      "",
		resource("arn:aws:kinesis:us-east-1:" + account + ":stream/a/consumer/b:*"):         "",
		resource("arn:aws:iam::" + account + ":user/AKIA"):                                  "",
		resource("arn:aws:iam::999999999999:role/app"):                                      "",
		resource("arn:aws-cn:s3:::bucket/*"):                                                "",
		resource("arn:aws:dynamodb:us-east-1:999999999999:table/a"):                         "",

		resource("arn:aws:cognito-sync:*:999999999999:identitypool/*"):                           second + `"arn:aws:cognito-sync:*:999999999999:identitypool/*"` + ofAccount,
		resource("arn:aws:cognito-identity:eu-west-1:999999999999:*"):                            second + `"arn:aws:cognito-identity:eu-west-1:999999999999:*"` + ofAccount,
		resource("arn:aws:kinesis:*:999999999999:stream/a"):                                      second + `"arn:aws:kinesis:*:999999999999:stream/a"` + ofAccount,
		resource("arn:aws:iam::999999999999:user/*"):                                             second + `"arn:aws:iam::999999999999:user/*"` + ofAccount,
		resource("arn:aws:kinesis:*::stream/a"):                                                  second + `"arn:aws:kinesis:*::stream/a" matches nothing here: its account is "", it must be` + must,
		resource("arn:aws-cn:kinesis:*:*:stream/a"):                                              second + `"arn:aws-cn:kinesis:*:*:stream/a"` + partition,
		resource("arn:aws-us-gov:iam::" + account + ":user/*"):                                   second + `"arn:aws-us-gov:iam::` + account + `:user/*" matches nothing here: its partition is "aws-us-gov", it must be aws`,
		resource("arn:aws:cognito-sync:*:*:pool/*"):                                              second + `"arn:aws:cognito-sync:*:*:pool/*"` + sync,
		resource("arn:aws:cognito-sync:*:*:identitypool/"):                                       second + `"arn:aws:cognito-sync:*:*:identitypool/"` + sync,
		resource("arn:aws:cognito-sync::" + account + ":identitypool/*"):                         second + `"arn:aws:cognito-sync::` + account + `:identitypool/*"` + sync,
		resource("arn:aws:kinesis:*:*:orders"):                                                   second + `"arn:aws:kinesis:*:*:orders"` + stream,
		resource("arn:aws:Kinesis:*:*:stream/orders"):                                            second + `"arn:aws:Kinesis:*:*:stream/orders"` + stream,
		resource("arn:aws:iam:us-east-1:" + account + ":user/*"):                                 second + `"arn:aws:iam:us-east-1:` + account + `:user/*"` + user,
		resource("arn:aws:tributary:us-east-1:" + account + ":pool/*"):                           second + `"arn:aws:tributary:us-east-1:` + account + `:pool/*" matches nothing here: it must be that of a pool in cognito-sync, that of an access key in iam, or *`,
		resource("arn:aws:cognito-sync:*:*:identitypool/*/dataset/open*"):                        "",
		resource("arn:aws:cognito-sync:*:*:*/dataset/?"):                                         "",
		resource("arn:aws:cognito-sync:us-east-1:" + account + ":identitypool/r:a/identity/r:b"): "",
		resource("arn:*:identitypool/*"):                                                         "",
		resource("arn:aws:*/identity/r:a/dataset/b*"):                                            "",
		resource("arn:aws:*:*:" + account + ":identitypool/r:a"):                                 "",
		resource("arn:aws:cognito-identity:*:*:identitypool/*"):                                  "",
		resource("arn:aws:cognito-*:*:*:identitypool/r:a/*"):                                     "",
		resource("arn:aws:iam::*:*"):                                                             "",
		resource("arn:aws:iam::*:mfa/ann"):                                                       "",
		resource("arn:aws:cognito-identity:*:*:identitypool/r:a/*"):                              second + `"arn:aws:cognito-identity:*:*:identitypool/r:a/*"` + identity,
		resource("arn:aws:cognito-sync:*:*:identitypool/r:a/dataset/x"):                          second + `"arn:aws:cognito-sync:*:*:identitypool/r:a/dataset/x"` + sync,
		resource("arn:aws:cognito-sync:*:*:identitypool/r:a/identity/r:b/datasets/c"):            second + `"arn:aws:cognito-sync:*:*:identitypool/r:a/identity/r:b/datasets/c"` + sync,
		resource("arn:aws:cognito-sync:*:*:identitypool/r:a/identity/*/datasets/*"):              second + `"arn:aws:cognito-sync:*:*:identitypool/r:a/identity/*/datasets/*"` + sync,
		resource("arn:aws:cognito-sync:*:*:identitypool/r:a/identity/r:b/dataset/c/*"):           second + `"arn:aws:cognito-sync:*:*:identitypool/r:a/identity/r:b/dataset/c/*"` + sync,
		resource("arn:aws:cognito-sync:*:*:identitypool/r:a/"):                                   second + `"arn:aws:cognito-sync:*:*:identitypool/r:a/"` + sync,
		resource("arn:aws:cognito-sync:*:*:identitypool/a"):                                      second + `"arn:aws:cognito-sync:*:*:identitypool/a"` + sync,
		resource("arn:aws:cognito-sync:*:*:identitypool/${*}"):                                   second + `"arn:aws:cognito-sync:*:*:identitypool/${*}"` + sync,
		resource("arn:aws:cognito-sync:*:999999999999:*"):                                        second + `"arn:aws:cognito-sync:*:999999999999:*"` + ofAccount,
		resource("arn:aws:*:*:999999999999:*"):                                                   second + `"arn:aws:*:*:999999999999:*"` + ofAccount,
		allow("*", "arn:aws:*:*:999999999999:*"):                                                 "",
		resource("arn:aws:cognito-sync:*:*:*/identity/"):                                         second + `"arn:aws:cognito-sync:*:*:*/identity/"` + sync,
		resource("arn:aws:kinesis:*:*:stream/a/b"):                                               second + `"arn:aws:kinesis:*:*:stream/a/b"` + stream,
		resource("arn:aws:kinesis:*:*:stream/a:b"):                                               second + `"arn:aws:kinesis:*:*:stream/a:b"` + stream,
		resource("arn:aws:iam::*:users/AKIA"):                                                    second + `"arn:aws:iam::*:users/AKIA"` + user,
		resource("arn:aws:iam::" + account + ":user"):                                            second + `"arn:aws:iam::` + account + `:user"` + user,
		resource("arn:aws:iam::" + account + ":user/*/"):                                         second + `"arn:aws:iam::` + account + `:user/*/"` + user,
		resource("arn:aws:*:us-east-1:999999999999:identitypool/r:a"):                            second + `"arn:aws:*:us-east-1:999999999999:identitypool/r:a"` + ofAccount,
		resource("arn:*:999999999999:identitypool/*"):                                            second + `"arn:*:999999999999:identitypool/*" matches nothing here: its account must be` + must,
		resource("arn:aws:cognito-*:*:999999999999:identitypool/r:a"):                            second + `"arn:aws:cognito-*:*:999999999999:identitypool/r:a"` + ofAccount,
		resource("arn:aws:cognito-i*:*:*:userpool/a"):                                            second + `"arn:aws:cognito-i*:*:*:userpool/a"` + identity,
		resource("arn:aws:cognitosync:*:*:identitypool/r:a"):                                     second + `"arn:aws:cognitosync:*:*:identitypool/r:a" matches nothing here: there is no service cognitosync; did you mean cognito-sync?`,
		resource("arn:aws:cognito-idp:*:*:userpool/a"):                                           "",
		policy2012("{'Effect': 'Allow', 'Action': '*', 'NotResource': 'arn:aws:kinesis:*:*:x'}"): `The policy is not valid: statement 1: NotResource: "arn:aws:kinesis:*:*:x"` + stream,
		"{}": "The policy is not valid: it has no Statement",
	} {
		err := tributary.CheckPolicy(document, account, tributary.HeldByRole)
		if text == "" {
			if err != nil {
				t.Errorf("%s\n gave %v", document, err)
			}
			continue
		}
		if tributary.KindOf(err) != tributary.Invalid || !strings.HasPrefix(tributary.Message(err), text) {
			t.Errorf("%s\n gave %q\n want %q", document, tributary.Message(err), text)
		}
		if document != "{}" {
			parsePolicy(t, document)
		}
	}
}

// TestCheckPolicyTakesWhatMatches: a pattern that matches an ARN of ours is
// never refused, wherever its wildcards are.
func TestCheckPolicyTakesWhatMatches(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 9))
	arns := []string{
		"arn:aws:cognito-sync:us-east-1:" + account + ":identitypool/us-east-1:1/identity/us-east-1:2/dataset/a.b:c",
		"arn:aws:cognito-sync:us-east-1:" + account + ":identitypool/us-east-1:1/identity/us-east-1:2",
		"arn:aws:cognito-sync:us-east-1:" + account + ":identitypool/us-east-1:1",
		"arn:aws:cognito-identity:us-east-1:" + account + ":identitypool/us-east-1:1",
		"arn:aws:kinesis:us-east-1:" + account + ":stream/orders",
		"arn:aws:iam::" + account + ":user/AKIA",
	}
	met := 0
	for range 5_000 * soak(t) {
		pattern := arns[rng.IntN(len(arns))]
		for range 1 + rng.IntN(4) {
			from := len("arn:") + rng.IntN(len(pattern)-len("arn:"))
			to, by := min(len(pattern), from+rng.IntN(12)), "*"
			if rng.IntN(3) == 0 && pattern[from] != '*' {
				to, by = min(len(pattern), from+1), "?"
			}
			pattern = pattern[:from] + by + pattern[to:]
		}
		document := policy2012("{'Effect': 'Deny', 'Action': '*', 'Resource': '" + pattern + "'}")
		p, err := tributary.ParsePolicy(document)
		if err != nil { // short of parts
			continue
		}
		met++
		if err := tributary.CheckPolicy(document, account, tributary.HeldByKey); err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(arns, func(arn string) bool {
			return p.Decide(&tributary.Access{Action: "a:b", Resource: arn}) == tributary.ExplicitDeny
		}) {
			t.Fatalf("%s does not match what it was made of", pattern)
		}
	}
	if met < 100 {
		t.Errorf("only %d patterns were read", met)
	}
}
