package cognitosync_test

import (
	"context"
	"net/http"
	"testing"

	"tributary"
)

// functions answer as the test says.
type functions struct {
	records []tributary.EventRecord
	err     error
}

func (f *functions) Check(function string) error {
	if function == "bad" {
		return tributary.Errorf(tributary.Invalid, "check function", "cannot be called")
	}
	return nil
}

func (f *functions) BeforeSync(context.Context, string, *tributary.SyncEvent) ([]tributary.EventRecord, error) {
	return f.records, f.err
}

const hook = "https://hook.test"

// TestEvents walks SetCognitoEvents and GetCognitoEvents.
func TestEvents(t *testing.T) {
	k := newKit(t)
	k.service.Functions = &functions{}
	get := func() answer { return k.send(k.developer, "GET", poolPath()+"/events", "") }
	set := func(body string) answer { return k.send(k.developer, "POST", poolPath()+"/events", body) }
	const invalid = "InvalidParameterException"
	k.want(get(), 200, `{"Events":{}}`)
	k.want(set(`{"Events":{"SyncTrigger":"`+hook+`"}}`), 200, `{}`)
	k.want(get(), 200, `{"Events":{"SyncTrigger":"`+hook+`"}}`)
	k.want(set(`{"Events":{}}`), 200, `{}`)
	k.refused(set(`{"Events":{"SyncTrigger":"bad"}}`), 400, invalid, "cannot be called")
	k.refused(set(`{"Events":{"Other":"`+hook+`"}}`), 400, invalid, "the only event is SyncTrigger")
	k.refused(set(`{"Events":{"SyncTrigger":"","Other":""}}`), 400, invalid, "Map must have a length of at most 1")
	k.refused(set(`{}`), 400, invalid, "Value null at 'events'")
	k.refused(set(``), 400, invalid, "Value null at 'events'")
	k.refused(set(`{"Events":[]}`), 400, "SerializationException", "")
	k.want(get(), 200, `{"Events":{"SyncTrigger":"`+hook+`"}}`)
	k.want(set(`{"Events":{"SyncTrigger":""}}`), 200, `{}`)
	k.want(get(), 200, `{"Events":{}}`)

	k.refused(k.send(k.guest, "GET", poolPath()+"/events", ""), 403, "NotAuthorizedException", "These credentials are not valid")
	k.refused(k.send(k.guest, "POST", poolPath()+"/events", `{"Events":{"SyncTrigger":"`+hook+`"}}`), 403, "NotAuthorizedException", "These credentials are not valid")
	k.refused(k.send(k.developer, "GET", "/identitypools/us-east-1:0/events", ""), 404, "ResourceNotFoundException", "")
}

// TestTrigger: the changes of a function are in the answer, and its failures have
// the names that AWS gives them.
func TestTrigger(t *testing.T) {
	k := newKit(t)
	f := &functions{}
	k.service.Functions = f
	k.want(k.send(k.developer, "POST", poolPath()+"/events", `{"Events":{"SyncTrigger":"`+hook+`"}}`), 200, `{}`)
	const patch = `[{"Op":"replace","Key":"a","Value":"1","SyncCount":0,"DeviceLastModifiedDate":1.5}]`
	f.records = []tributary.EventRecord{{Key: "a", New: new("A")}, {Key: "b", New: new("B")}}
	dates := `"LastModifiedDate":1790000000.123,"LastModifiedBy":"` + string(ann) + `","DeviceLastModifiedDate":`
	k.want(k.update(k.guest, ann, "d", patch), 200, `{"Records":[{"Key":"a","Value":"A","SyncCount":1,`+dates+`1.500},{"Key":"b","Value":"B","SyncCount":1,`+dates+`1790000000.123}]}`)
	f.records = nil
	k.want(k.update(k.guest, ann, "e", patch), 200, `{"Records":[{"Key":"a","Value":null,"SyncCount":0,"LastModifiedDate":1790000000.123,"LastModifiedBy":null,"DeviceLastModifiedDate":1790000000.123}]}`)
	for _, c := range []struct {
		cause  error
		status int
		code   string
	}{
		{nil, 400, "InvalidLambdaFunctionOutputException"},
		{tributary.ErrTriggerTimeout, 400, "LambdaSocketTimeoutException"},
		{tributary.ErrTriggerThrottled, http.StatusTooManyRequests, "LambdaThrottledException"},
	} {
		f.err = &tributary.Error{Kind: tributary.Trigger, Op: "call", Msg: "The function failed", Err: c.cause}
		k.refused(k.update(k.guest, ann, "e", patch), c.status, c.code, "The function failed")
	}
	if a := k.update(k.developer, ann, "e", patch); a.status != 200 {
		t.Errorf("a developer's update: %+v", a)
	}
}
