package e2e

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	identity2 "github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
)

// TestClassicFlow takes a guest through the classic flow with AWS's SDK for Go
// 2 and the AWS CLI. The JavaScript tests have the rest.
func TestClassicFlow(t *testing.T) {
	s := startServer(t)
	k := s.key()
	config := configV2(t, s.url, k.id, k.secret, "")
	identity := identity2.NewFromConfig(config)
	pool := must[*identity2.CreateIdentityPoolOutput](t)(identity.CreateIdentityPool(t.Context(), &identity2.CreateIdentityPoolInput{
		IdentityPoolName: aws.String("classic"), AllowUnauthenticatedIdentities: true})).IdentityPoolId
	must[*identity2.SetIdentityPoolRolesOutput](t)(identity.SetIdentityPoolRoles(t.Context(), &identity2.SetIdentityPoolRolesInput{
		IdentityPoolId: pool, Roles: map[string]string{"unauthenticated": role("guest")}}))
	id := must[*identity2.GetIdOutput](t)(identity.GetId(t.Context(), &identity2.GetIdInput{IdentityPoolId: pool})).IdentityId
	token := must[*identity2.GetOpenIdTokenOutput](t)(identity.GetOpenIdToken(t.Context(), &identity2.GetOpenIdTokenInput{IdentityId: id})).Token
	const guest = "arn:aws:sts::" + account + ":assumed-role/guest/go@test"

	t.Run("Go", func(t *testing.T) {
		client := sts.NewFromConfig(config)
		in := &sts.AssumeRoleWithWebIdentityInput{RoleArn: aws.String(role("guest")), RoleSessionName: aws.String("go@test"), WebIdentityToken: token}
		out := must[*sts.AssumeRoleWithWebIdentityOutput](t)(client.AssumeRoleWithWebIdentity(t.Context(), in))
		if *out.AssumedRoleUser.Arn != guest || *out.SubjectFromWebIdentityToken != *id || *out.Audience != *pool || *out.Provider != ownProvider || out.PackedPolicySize != nil {
			t.Errorf("%+v, %s", out, *out.AssumedRoleUser.Arn)
		}
		c := out.Credentials
		own := sts.NewFromConfig(configV2(t, s.url, *c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken))
		if who := must[*sts.GetCallerIdentityOutput](t)(own.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})); *who.Arn != guest || *who.UserId != *out.AssumedRoleUser.AssumedRoleId {
			t.Errorf("the guest is %s, %s", *who.Arn, *who.UserId)
		}
		for _, wrong := range []struct {
			edit func(*sts.AssumeRoleWithWebIdentityInput)
			is   func(error)
		}{
			{func(in *sts.AssumeRoleWithWebIdentityInput) { in.WebIdentityToken = aws.String("a.b.c") },
				func(err error) { wantErrorV2[*ststypes.InvalidIdentityTokenException](t, err, "GetOpenIdToken") }},
			{func(in *sts.AssumeRoleWithWebIdentityInput) { in.Policy = aws.String("{}") },
				func(err error) {
					wantErrorV2[*ststypes.MalformedPolicyDocumentException](t, err, "no Statement")
				}},
			{func(in *sts.AssumeRoleWithWebIdentityInput) { in.Policy = aws.String(strings.Repeat("ü", 2000)) },
				func(err error) { wantErrorV2[*ststypes.PackedPolicyTooLargeException](t, err, "196%") }},
		} {
			edited := *in
			wrong.edit(&edited)
			_, err := client.AssumeRoleWithWebIdentity(t.Context(), &edited)
			wrong.is(err)
		}
	})

	t.Run("CLI", func(t *testing.T) {
		dev := newCLI(t, s.url, k.id, k.secret, "")
		if who := dev.aws("sts", "get-caller-identity"); who["Arn"] != "arn:aws:iam::"+account+":user/"+k.id || who["Account"] != account {
			t.Errorf("the developer is %v", who)
		}
		assume := []string{"sts", "assume-role-with-web-identity", "--role-session-name", "go@test", "--web-identity-token", *token, "--role-arn"}
		out := dev.aws(append(assume, role("guest"))...)
		if user, _ := out["AssumedRoleUser"].(map[string]any); user["Arn"] != guest {
			t.Errorf("assumed %v", out)
		}
		dev.fail("AccessDenied", append(assume, role("admin"))...)
		dev.fail("InvalidAction", "sts", "get-session-token")
		newCLI(t, s.url, k.id, "wrong", "").fail("SignatureDoesNotMatch", "sts", "get-caller-identity")
	})
}
