package cognitoidentity_test

import (
	"fmt"
	"maps"
	"testing"
)

func manyTags(n int) obj {
	out := obj{}
	for i := range n {
		out[fmt.Sprint("key ", i)] = ""
	}
	return out
}

func TestTags(t *testing.T) {
	k := newKit(t)
	pool := k.newPool(obj{"IdentityPoolTags": obj{"a": "1", "b": "2"}})
	arn := "arn:aws:cognito-identity:eu-west-1:" + account + ":identitypool/" + pool
	list := func() string {
		t.Helper()
		return k.call(&k.developer, "ListTagsForResource", obj{"ResourceArn": arn}, nil)
	}
	k.same("as made", list(), obj{"Tags": obj{"a": "1", "b": "2"}})
	if got := k.call(&k.developer, "TagResource", obj{"ResourceArn": arn, "Tags": obj{"b": "3", "c": ""}}, nil); got != "{}" {
		t.Errorf("answered %s", got)
	}
	k.same("merged", list(), obj{"Tags": obj{"a": "1", "b": "3", "c": ""}})
	k.call(&k.developer, "UntagResource", obj{"ResourceArn": arn, "TagKeys": []string{"a", "none"}}, nil)
	var shown struct{ IdentityPoolTags map[string]string }
	k.call(&k.developer, "DescribeIdentityPool", obj{"IdentityPoolId": pool}, &shown)
	if !maps.Equal(shown.IdentityPoolTags, map[string]string{"b": "3", "c": ""}) {
		t.Errorf("the pool's tags are %v", shown.IdentityPoolTags)
	}
	k.refused(&k.developer, "TagResource", obj{"ResourceArn": arn, "Tags": manyTags(49)}, "InvalidParameterException", "51 tags, the limit is 50")
	k.call(&k.developer, "TagResource", obj{"ResourceArn": arn, "Tags": manyTags(48)}, nil)
	k.call(&k.developer, "UntagResource", obj{"ResourceArn": arn, "TagKeys": []string{"b", "c"}}, nil)
	k.same("many", list(), obj{"Tags": manyTags(48)})
}

func TestTagARNs(t *testing.T) {
	k := newKit(t)
	pool := k.newPool(nil)
	for name, c := range map[string]struct{ arn, code string }{
		"NoARN":         {"identitypool/" + pool, "InvalidParameterException"},
		"OtherService":  {"arn:aws:cognito-sync:eu-west-1:" + account + ":identitypool/" + pool, "InvalidParameterException"},
		"OtherResource": {"arn:aws:cognito-identity:eu-west-1:" + account + ":pool/" + pool, "InvalidParameterException"},
		"NoID":          {"arn:aws:cognito-identity:eu-west-1:" + account + ":identitypool/a/b", "InvalidParameterException"},
		"OtherAccount":  {"arn:aws:cognito-identity:eu-west-1:000000000000:identitypool/" + pool, "ResourceNotFoundException"},
		"OtherRegion":   {"arn:aws:cognito-identity:us-east-1:" + account + ":identitypool/" + pool, "ResourceNotFoundException"},
		"NoPool":        {"arn:aws:cognito-identity:eu-west-1:" + account + ":identitypool/" + nobody, "ResourceNotFoundException"},
	} {
		t.Run(name, func(t *testing.T) {
			for operation, in := range map[string]obj{"TagResource": {"Tags": obj{"a": "b"}}, "UntagResource": {"TagKeys": []string{"a"}}, "ListTagsForResource": {}} {
				in["ResourceArn"] = c.arn
				k.refused(&k.developer, operation, in, c.code, "")
			}
		})
	}
}

func TestPoolTagLimit(t *testing.T) {
	k := newKit(t)
	in := obj{"IdentityPoolName": "n", "AllowUnauthenticatedIdentities": true, "IdentityPoolTags": manyTags(51)}
	k.refused(&k.developer, "CreateIdentityPool", in, "InvalidParameterException", "51 tags, the limit is 50")
	in["IdentityPoolTags"] = manyTags(50)
	k.call(&k.developer, "CreateIdentityPool", in, nil)
}
