// Package s3 is the bucket that takes the records of updates which are too large
// for a record at Kinesis.
//
// An object is named by what is in it: the same update always writes the same
// object, and no other one ever changes it. Its name begins with the pool and
// the identity, so that what belongs to one of them can be found and removed:
//
//	{prefix}{identity pool id}/{identity id}/{SHA-256 of the content}.json
//
// Objects are never deleted here: a lifecycle rule of the bucket does that.
package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tributary"
)

// LinkLife is how long a link is good: as long as S3 allows. One that is signed
// with credentials that end earlier ends with them.
const LinkLife = 7 * 24 * time.Hour

// Bucket is a bucket at S3, or at a server that speaks its protocol. Config and
// Name are required.
type Bucket struct {
	Config aws.Config // the server's own credentials
	Region string
	URL    string // of the server; "": AWS's own in the region
	Name   string
	Prefix string // of the objects' names

	Now func() time.Time // nil: time.Now
}

// client is made anew each time, which costs nothing beside a call.
func (b *Bucket) client() *api.Client {
	o := api.Options{
		Region: b.Region, Credentials: b.Config.Credentials, HTTPClient: b.Config.HTTPClient,
		// Other servers than AWS's do not know the newer checksums.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired, ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	}
	if b.URL != "" {
		o.BaseEndpoint, o.UsePathStyle = &b.URL, true
	}
	return api.New(o)
}

// Put keeps the records of a change in a dataset, and gives a link to them.
func (b *Bucket) Put(ctx context.Context, k tributary.DatasetKey, records []byte) (string, error) {
	sum := sha256.Sum256(records)
	name := b.Prefix + string(k.Pool) + "/" + string(k.Identity) + "/" + hex.EncodeToString(sum[:]) + ".json"
	_, err := b.client().PutObject(ctx, &api.PutObjectInput{
		Bucket: &b.Name, Key: &name, Body: bytes.NewReader(records), ContentType: aws.String("application/json"),
	})
	if err != nil {
		return "", err
	}
	link, _, err := b.sign(ctx, name)
	return link, err
}

// Link makes a new link to an object that a change was kept as, and tells until
// when it is good.
//
// Errors: NotFound if the object is not there any more; Unavailable.
func (b *Bucket) Link(ctx context.Context, name string) (link string, until time.Time, err error) {
	const op = "link payload"
	_, err = b.client().HeadObject(ctx, &api.HeadObjectInput{Bucket: &b.Name, Key: &name})
	var missing *types.NotFound
	if errors.As(err, &missing) {
		return "", time.Time{}, tributary.Errorf(tributary.NotFound, op, "The payload is not in the bucket any more")
	}
	if err == nil {
		link, until, err = b.sign(ctx, name)
	}
	if err != nil {
		return "", time.Time{}, &tributary.Error{Kind: tributary.Unavailable, Op: op, Msg: "The payload bucket cannot be read", Err: err}
	}
	return link, until, nil
}

func (b *Bucket) sign(ctx context.Context, name string) (string, time.Time, error) {
	until := b.now().Add(LinkLife)
	signed, err := api.NewPresignClient(b.client()).PresignGetObject(ctx, &api.GetObjectInput{Bucket: &b.Name, Key: &name}, api.WithPresignExpires(LinkLife))
	if err != nil {
		return "", time.Time{}, err
	}
	c, err := b.Config.Credentials.Retrieve(ctx)
	if err != nil {
		return "", time.Time{}, err
	}
	if c.CanExpire && c.Expires.Before(until) {
		until = c.Expires
	}
	return signed.URL, until, nil
}

// Passing tells whether the credentials that sign links end: the links do too.
func (b *Bucket) Passing(ctx context.Context) (bool, error) {
	c, err := b.Config.Credentials.Retrieve(ctx)
	return c.CanExpire, err
}

var namePattern = regexp.MustCompile(`^([\w-]+:[0-9a-f-]+)/[\w-]+:[0-9a-f-]+/[0-9a-f]{64}\.json$`)

// Find tells which object a link leads to, or a name is of, and whose pool it
// is. It says false if it is none that Put made in this bucket.
func (b *Bucket) Find(link string) (name string, pool tributary.PoolID, ok bool) {
	name = link
	if strings.Contains(link, "://") {
		u, err := url.Parse(link)
		if err != nil {
			return "", "", false
		}
		name = strings.TrimPrefix(u.Path, "/")
		if !strings.HasPrefix(u.Host, b.Name+".") { // path style
			if name, ok = strings.CutPrefix(name, b.Name+"/"); !ok {
				return "", "", false
			}
		}
	}
	rest, ours := strings.CutPrefix(name, b.Prefix)
	parts := namePattern.FindStringSubmatch(rest)
	if !ours || parts == nil {
		return "", "", false
	}
	return name, tributary.PoolID(parts[1]), true
}

func (b *Bucket) now() time.Time {
	if b.Now != nil {
		return b.Now()
	}
	return time.Now()
}
