package tributary_test

import (
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
	const first, second = "The policy is not valid: statement 1: Action: ", "The policy is not valid: statement 2: Resource: "
	const ofAccount = ` matches nothing here: its account is "999999999999", it must be this server's, ` + account + " (serve --account), or *"
	const sync, stream = ` matches nothing here: it must be arn:aws:cognito-sync:REGION:ACCOUNT:identitypool/POOL, below it /identity/ID/dataset/NAME`, ` matches nothing here: it must be arn:aws:kinesis:REGION:ACCOUNT:stream/NAME`
	for document, text := range map[string]string{
		"":                                   "",
		ownData:                              "",
		action("*"):                          "",
		action("*:ListRecord"):               "",
		action("cognito-*:ListRecord"):       "",
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
		resource("arn:aws:iam::" + account + ":user/AKIA"):                                  "",
		resource("arn:aws:iam::999999999999:role/app"):                                      "",
		resource("arn:aws-cn:s3:::bucket/*"):                                                "",
		resource("arn:aws:dynamodb:us-east-1:999999999999:table/a"):                         "",

		resource("arn:aws:cognito-sync:*:999999999999:identitypool/*"):                           second + `"arn:aws:cognito-sync:*:999999999999:identitypool/*"` + ofAccount,
		resource("arn:aws:cognito-identity:eu-west-1:999999999999:*"):                            second + `"arn:aws:cognito-identity:eu-west-1:999999999999:*"` + ofAccount,
		resource("arn:aws:kinesis:*:999999999999:stream/a"):                                      second + `"arn:aws:kinesis:*:999999999999:stream/a"` + ofAccount,
		resource("arn:aws:iam::999999999999:user/*"):                                             second + `"arn:aws:iam::999999999999:user/*"` + ofAccount,
		resource("arn:aws:kinesis:*::stream/a"):                                                  second + `"arn:aws:kinesis:*::stream/a" matches nothing here: its account is ""`,
		resource("arn:aws-cn:kinesis:*:*:stream/a"):                                              second + `"arn:aws-cn:kinesis:*:*:stream/a" matches nothing here: its partition is "aws-cn", it must be aws`,
		resource("arn:aws-us-gov:iam::" + account + ":user/*"):                                   second + `"arn:aws-us-gov:iam::` + account + `:user/*" matches nothing here: its partition is "aws-us-gov"`,
		resource("arn:aws:cognito-sync:*:*:pool/*"):                                              second + `"arn:aws:cognito-sync:*:*:pool/*"` + sync,
		resource("arn:aws:cognito-sync:*:*:identitypool/"):                                       second + `"arn:aws:cognito-sync:*:*:identitypool/"` + sync,
		resource("arn:aws:cognito-sync::" + account + ":identitypool/*"):                         second + `"arn:aws:cognito-sync::` + account + `:identitypool/*"` + sync,
		resource("arn:aws:kinesis:*:*:orders"):                                                   second + `"arn:aws:kinesis:*:*:orders"` + stream,
		resource("arn:aws:Kinesis:*:*:stream/orders"):                                            second + `"arn:aws:Kinesis:*:*:stream/orders"` + stream,
		resource("arn:aws:iam:us-east-1:" + account + ":user/*"):                                 second + `"arn:aws:iam:us-east-1:` + account + `:user/*" matches nothing here: it must be arn:aws:iam::ACCOUNT:user/KEY`,
		resource("arn:aws:tributary:us-east-1:" + account + ":pool/*"):                           second + `"arn:aws:tributary:us-east-1:` + account + `:pool/*" matches nothing here: it must be that of a pool in cognito-sync, that of an access key in iam, or *`,
		policy2012("{'Effect': 'Allow', 'Action': '*', 'NotResource': 'arn:aws:kinesis:*:*:x'}"): `The policy is not valid: statement 1: NotResource: "arn:aws:kinesis:*:*:x"` + stream,
		"{}": "The policy is not valid: it has no Statement",
	} {
		err := tributary.CheckPolicy(document, account)
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
