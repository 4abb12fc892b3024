package cognitoidentity

import (
	"context"
	"maps"
	"strings"

	"tributary"
)

// maxTags is how many tags a pool may have.
const maxTags = 50

func checkTagCount(t map[string]string) error {
	if len(t) > maxTags {
		return tributary.Errorf(tributary.Invalid, "check tags", "The identity pool would have %d tags, the limit is %d", len(t), maxTags)
	}
	return nil
}

// resourceRef is how a request names a pool by its ARN.
type resourceRef struct {
	ResourceARN string `json:"ResourceArn"`
}

// pool is the pool that the ARN names: arn:aws:cognito-identity:region:account:identitypool/id,
// in any of AWS's partitions.
//
// Errors: Invalid if it is no such ARN; NotFound if it is one of another account
// than the caller's, or of another region than the pool's.
func (r *resourceRef) pool(p principal) (tributary.PoolID, error) {
	const op = "read resourceArn"
	part := strings.SplitN(r.ResourceARN, ":", 6)
	if len(part) < 6 || part[0] != "arn" || !strings.HasPrefix(part[1], "aws") || part[2] != Name {
		return "", r.invalid()
	}
	name, ok := strings.CutPrefix(part[5], "identitypool/")
	id := tributary.PoolID(name)
	if !ok || tributary.CheckPoolID(id) != nil {
		return "", r.invalid()
	}
	if p.Developer() && (part[4] != p.Account || part[3] != id.Region()) {
		return "", tributary.Errorf(tributary.NotFound, op, "IdentityPool '%s' not found.", id)
	}
	return id, nil
}

func (r *resourceRef) invalid() error {
	return tributary.Errorf(tributary.Invalid, "read resourceArn", "%.256s is no ARN of an identity pool: it must look like arn:aws:cognito-identity:us-east-1:123456789012:identitypool/<id>", r.ResourceARN)
}

// changeTags edits the tags of the pool that the ARN names.
func (f *front) changeTags(ctx context.Context, p principal, r resourceRef, edit func(tags map[string]string)) (*empty, error) {
	id, err := r.pool(p)
	if err != nil {
		return nil, err
	}
	_, err = f.service.ChangePool(ctx, p, id, func(pool *tributary.Pool) error {
		if pool.Tags == nil {
			pool.Tags = map[string]string{}
		}
		edit(pool.Tags)
		return checkTagCount(pool.Tags)
	})
	return &empty{}, err
}

type tagIn struct {
	resourceRef
	Tags map[string]string
}

func (f *front) tag(ctx context.Context, p principal, in *tagIn) (*empty, error) {
	return f.changeTags(ctx, p, in.resourceRef, func(have map[string]string) { maps.Copy(have, in.Tags) })
}

type untagIn struct {
	resourceRef
	TagKeys []string
}

func (f *front) untag(ctx context.Context, p principal, in *untagIn) (*empty, error) {
	return f.changeTags(ctx, p, in.resourceRef, func(have map[string]string) {
		for _, k := range in.TagKeys {
			delete(have, k)
		}
	})
}

type tagsOut struct{ Tags map[string]string }

func (f *front) listTags(ctx context.Context, p principal, in *resourceRef) (*tagsOut, error) {
	id, err := in.pool(p)
	if err != nil {
		return nil, err
	}
	pool, err := f.service.Pool(ctx, p, id)
	if err != nil {
		return nil, err
	}
	return &tagsOut{pool.Tags}, nil
}
