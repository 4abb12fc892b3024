package pebblestore_test

import (
	"context"
	"errors"
	"testing"

	"tributary"
	"tributary/store/pebblestore"
)

type says struct{}

func (says) VerifyLogin(_ context.Context, _ *tributary.Pool, provider, token string) (tributary.VerifiedLogin, error) {
	return tributary.VerifiedLogin{Login: tributary.Login{Provider: provider, User: token}}, nil
}

type counting struct {
	*pebblestore.Store
	views int
	last  tributary.DatasetName
}

func (c *counting) View(ctx context.Context, k tributary.DatasetKey, r []string) (tributary.View, error) {
	c.views++
	c.last = k.Dataset
	if c.views > 1000 {
		return tributary.View{}, errors.New("1000 views")
	}
	return c.Store.View(ctx, k, r)
}

func TestMergeAfterRestore(t *testing.T) {
	n := reborn(t)
	c := &counting{Store: n.s}
	sealer, _ := tributary.NewSealer(make([]byte, 32))
	s := &tributary.Service{Store: c, Sealer: sealer, Logins: says{}, Account: "123456789012"}
	if _, err := s.GetID(t.Context(), tributary.SignIn{Pool: notes.Pool, Logins: map[string]string{"google": "ann"}}); err != nil {
		t.Fatal(err)
	}
	_, err := s.SignIn(t.Context(), tributary.SignIn{Identity: notes.Identity, Logins: map[string]string{"google": "ann"}})
	t.Logf("err %v, %d views, last name has %d bytes", err, c.views, len(c.last))
	if err != nil {
		t.Fail()
	}
}
