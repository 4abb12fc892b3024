package api

import (
	"context"
	"slices"
	"strconv"
	"time"

	"tributary"
	"tributary/awswire"
)

// AccessKeys manages the developers' access keys. Errors that callers cause are
// Invalid, NotFound and Busy.
type AccessKeys interface {
	// Keys lists all keys, in the order of their ids.
	Keys(ctx context.Context) ([]tributary.AccessKey, error)
	// Create makes a key, with a policy document or "", and gives its secret,
	// this once.
	Create(ctx context.Context, name, policy string) (k tributary.AccessKey, secret string, err error)
	// Rotate makes a key of another's name and policy, which is good for keep
	// more; with 0 it is disabled. One that is to end already is refused.
	Rotate(ctx context.Context, id string, keep time.Duration) (k tributary.AccessKey, secret string, err error)
	Change(ctx context.Context, id string, c tributary.AccessKeyChange) (tributary.AccessKey, error)
	// Delete forgets a key that is not good any more.
	Delete(ctx context.Context, id string) error
}

const keysPath = Prefix + "access-keys"

func (f *front) accessKeyOperations() []op {
	const one = keysPath + "/{AccessKeyId}"
	return []op{
		{Name: "CreateAccessKey", Method: "POST", Path: keysPath, Handle: awswire.StrictHandler(f.createAccessKey)},
		{Name: "ListAccessKeys", Method: "GET", Path: keysPath, Handle: awswire.StrictHandler(f.listAccessKeys)},
		{Name: "RotateAccessKey", Method: "POST", Path: one + "/rotate", Handle: awswire.StrictHandler(f.rotateAccessKey)},
		{Name: "UpdateAccessKey", Method: "POST", Path: one, Handle: awswire.StrictHandler(f.updateAccessKey)},
		{Name: "DeleteAccessKey", Method: "DELETE", Path: one, Handle: awswire.StrictHandler(f.deleteAccessKey)},
	}
}

// AccessKey is a developer's access key as these operations show it.
type AccessKey struct {
	AccessKeyID string `json:"AccessKeyId"`
	Name        string
	Policy      string // "": everything is allowed
	Disabled    bool
	Created     time.Time
	Until       time.Time `json:",omitzero"` // it is good before
}

// ShowAccessKey gives a key without its secret.
func ShowAccessKey(k *tributary.AccessKey) *AccessKey {
	out := &AccessKey{AccessKeyID: k.ID, Name: k.Name, Policy: k.Policy, Disabled: k.Disabled, Created: k.Created.Time().UTC()}
	if k.Until != 0 {
		out.Until = k.Until.Time().UTC()
	}
	return out
}

// NewAccessKey is a key with its secret.
type NewAccessKey struct {
	AccessKey
	SecretAccessKey string
}

// CreateAccessKeyIn says what key to make.
type CreateAccessKeyIn struct{ Name, Policy string }

func (f *front) createAccessKey(ctx context.Context, p principal, in *CreateAccessKeyIn) (*NewAccessKey, error) {
	if err := f.Service.Allow(p, "create access key", "*"); err != nil {
		return nil, err
	}
	k, secret, err := f.AccessKeys.Create(ctx, in.Name, in.Policy)
	if err != nil {
		return nil, err
	}
	if p.Call != nil {
		p.Call.Resource = f.Service.AccessKeyARN(k.ID) // for the audit log
	}
	p.Call.Detail("AccessKeyID", k.ID)
	p.Call.Detail("Name", k.Name)
	p.Call.Detail("Policy", k.Policy)
	return &NewAccessKey{*ShowAccessKey(&k), secret}, nil
}

const (
	keysPage     = 100
	mostKeysPage = 1000
)

type listAccessKeysIn struct {
	after string
	most  int
}

func (in *listAccessKeysIn) Bind(p awswire.Params) (err error) {
	in.after, _ = p.Query("nextToken")
	in.most = keysPage
	if text, given := p.Query("maxResults"); given {
		if in.most, err = strconv.Atoi(text); err != nil || in.most < 1 || in.most > mostKeysPage {
			return tributary.Errorf(tributary.Invalid, "list access keys", "maxResults is %q, it must be a number from 1 to %d", text, mostKeysPage)
		}
	}
	return nil
}

// AccessKeyPage is a page of the access keys, in the order of their ids. With
// NextToken there are more.
type AccessKeyPage struct {
	AccessKeys []*AccessKey
	NextToken  string `json:",omitzero"`
}

func (f *front) listAccessKeys(ctx context.Context, p principal, in *listAccessKeysIn) (*AccessKeyPage, error) {
	if err := f.Service.Allow(p, "list access keys", "*"); err != nil {
		return nil, err
	}
	all, err := f.AccessKeys.Keys(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(k tributary.AccessKey) bool { return k.ID <= in.after })
	page := &AccessKeyPage{AccessKeys: []*AccessKey{}}
	for i := range all[:min(len(all), in.most)] {
		page.AccessKeys = append(page.AccessKeys, ShowAccessKey(&all[i]))
	}
	if len(all) > in.most {
		page.NextToken = all[in.most-1].ID
	}
	return page, nil
}

type accessKeyID struct{ id string }

func (in *accessKeyID) Bind(p awswire.Params) error {
	in.id = p.Path("AccessKeyId")
	return nil
}

type rotateAccessKeyIn struct {
	accessKeyID `json:"-"`
	KeepSeconds int64
}

func (f *front) rotateAccessKey(ctx context.Context, p principal, in *rotateAccessKeyIn) (*NewAccessKey, error) {
	const op = "rotate access key"
	if err := f.Service.Allow(p, op, f.Service.AccessKeyARN(in.id)); err != nil {
		return nil, err
	}
	const most = int64(tributary.MaxAccessKeyOverlap / time.Second)
	if in.KeepSeconds < 0 || in.KeepSeconds > most {
		return nil, tributary.Errorf(tributary.Invalid, op, "KeepSeconds is %d, it must be between 0 and %d", in.KeepSeconds, most)
	}
	k, secret, err := f.AccessKeys.Rotate(ctx, in.id, time.Duration(in.KeepSeconds)*time.Second)
	if err != nil {
		return nil, err
	}
	p.Call.Detail("AccessKeyID", k.ID)
	p.Call.Detail("KeepSeconds", strconv.FormatInt(in.KeepSeconds, 10))
	return &NewAccessKey{*ShowAccessKey(&k), secret}, nil
}

// updateAccessKeyIn changes what it names.
type updateAccessKeyIn struct {
	accessKeyID `json:"-"`
	Name        *string
	Policy      *string
	Disabled    *bool
}

func (f *front) updateAccessKey(ctx context.Context, p principal, in *updateAccessKeyIn) (*AccessKey, error) {
	if err := f.Service.Allow(p, "update access key", f.Service.AccessKeyARN(in.id)); err != nil {
		return nil, err
	}
	k, err := f.AccessKeys.Change(ctx, in.id, tributary.AccessKeyChange{Name: in.Name, Policy: in.Policy, Disabled: in.Disabled})
	if err != nil {
		return nil, err
	}
	if in.Name != nil {
		p.Call.Detail("Name", k.Name)
	}
	if in.Policy != nil {
		p.Call.Detail("Policy", k.Policy)
	}
	if in.Disabled != nil {
		p.Call.Detail("Disabled", strconv.FormatBool(k.Disabled))
	}
	return ShowAccessKey(&k), nil
}

func (f *front) deleteAccessKey(ctx context.Context, p principal, in *accessKeyID) (*nothing, error) {
	if err := f.Service.Allow(p, "delete access key", f.Service.AccessKeyARN(in.id)); err != nil {
		return nil, err
	}
	return &nothing{}, f.AccessKeys.Delete(ctx, in.id)
}
