package api_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"tributary"
	"tributary/front/api"
)

// payloads knows one link.
type payloads struct{ missing bool }

func (p *payloads) Payload(_ context.Context, link string) (api.Payload, error) {
	if link != "old" {
		return api.Payload{}, tributary.Errorf(tributary.Invalid, "find payload", "Link must be a link")
	}
	return api.Payload{Pool: pool, Link: func(context.Context) (string, time.Time, error) {
		if p.missing {
			return "", time.Time{}, tributary.Errorf(tributary.NotFound, "link payload", "It is gone")
		}
		return "new", time.Date(2026, 11, 30, 12, 0, 0, 5, time.UTC), nil
	}}, nil
}

// TestRenewPayloadLink: who may read the pool gets a new link, nobody else.
func TestRenewPayloadLink(t *testing.T) {
	k := newKit(t)
	const path = "payload-links"
	expect := func(body string, wantStatus int, wantCode, want string) {
		t.Helper()
		if status, code, answer := k.send(k.developer, "POST", path, body); status != wantStatus || code != wantCode || !strings.Contains(answer, want) {
			t.Errorf("%s: %d %s %s, want %d %s %s", body, status, code, answer, wantStatus, wantCode, want)
		}
	}
	expect(`{"Link":"old"}`, 404, "ResourceNotFoundException", pool) // there is no such pool yet
	if status, _, answer := k.send(k.developer, "POST", "pools", `{"PoolId":"`+pool+`","Name":"n"}`); status != 200 {
		t.Fatal(answer)
	}
	expect(`{"Link":"old"}`, 200, "", `{"Link":"new","Expires":"2026-11-30T12:00:00Z"}`)
	if last := k.done[len(k.done)-1]; last != "tributary:RenewPayloadLink arn:aws:cognito-sync:us-east-1:"+account+":identitypool/"+pool {
		t.Errorf("policies are asked about %s", last)
	}
	expect(`{"Link":"other"}`, 400, "InvalidParameterException", "must be a link")
	expect(`{"Name":"old"}`, 400, "SerializationException", "")
	for _, body := range []string{`{"Link":"old"}`, `{"Link":"other"}`} { // who may not is not told what there is
		if status, code, _ := k.send(k.guest, "POST", path, body); status != 403 || code != "NotAuthorizedException" {
			t.Errorf("a guest: %d %s", status, code)
		}
	}
	k.payloads.missing = true
	expect(`{"Link":"old"}`, 404, "ResourceNotFoundException", "It is gone")
}
