package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"tributary"
	"tributary/sink/kinesis"
	"tributary/sink/s3"
	"tributary/stream"
)

// kinesisFlags say where streams are that are not embedded.
type kinesisFlags struct {
	Kinesis      string        `help:"Where the streams are that are not embedded: aws, or the URL of a server that speaks Kinesis' protocol. Default: there are none." placeholder:"aws|URL"`
	STSEndpoint  string        `name:"sts-endpoint" help:"Where the roles of streams are assumed. none: the server's own credentials write to all streams. Default: AWS's." placeholder:"URL|none"`
	BacklogLimit time.Duration `default:"168h" help:"For how long changes are kept that Kinesis, or the warehouse, has not got." placeholder:"DURATION"`

	PayloadBucket string `help:"S3 bucket for the records of updates that are above --stream-inline-limit, of streams at Kinesis. Default: they stay in their stream record." placeholder:"NAME"`
	PayloadPrefix string `help:"What the names of the bucket's objects begin with." placeholder:"TEXT"`
	S3Endpoint    string `name:"s3-endpoint" help:"URL of a server that speaks S3's protocol. Default: AWS's." placeholder:"URL"`
}

const (
	atAWS   = "aws"
	noRoles = "none"
)

var bucketPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func (f *kinesisFlags) check() error {
	const leastBacklog, mostPrefix = time.Minute, 512
	switch {
	case f.BacklogLimit < leastBacklog:
		return fmt.Errorf("--backlog-limit is %v, it must be at least %v", f.BacklogLimit, leastBacklog)
	case f.Kinesis != "" && f.Kinesis != atAWS && !isServerURL(f.Kinesis):
		return fmt.Errorf("--kinesis is %q, it must be aws, or like http://127.0.0.1:4567: http or https, a host, and no path", f.Kinesis)
	case f.STSEndpoint != "" && f.STSEndpoint != noRoles && !isServerURL(f.STSEndpoint):
		return fmt.Errorf("--sts-endpoint is %q, it must be none, or like https://sts.example.org: http or https, a host, and no path", f.STSEndpoint)
	case f.Kinesis == "" && f.STSEndpoint != "":
		return errors.New("--sts-endpoint needs --kinesis: only streams there have roles that are assumed")
	case f.Kinesis == "" && f.PayloadBucket != "":
		return errors.New("--payload-bucket needs --kinesis: updates on embedded streams are linked to on this server")
	case f.PayloadBucket == "" && f.PayloadPrefix != "":
		return errors.New("--payload-prefix needs --payload-bucket")
	case f.PayloadBucket == "" && f.S3Endpoint != "":
		return errors.New("--s3-endpoint needs --payload-bucket")
	case f.PayloadBucket != "" && !bucketPattern.MatchString(f.PayloadBucket):
		return fmt.Errorf("--payload-bucket is %q, it must be 3 to 63 lower-case letters, digits, dots and hyphens", f.PayloadBucket)
	case len(f.PayloadPrefix) > mostPrefix:
		return fmt.Errorf("--payload-prefix has %d bytes, it must have at most %d", len(f.PayloadPrefix), mostPrefix)
	}
	return checkURL("--s3-endpoint", f.S3Endpoint)
}

// openKinesis reads the server's own credentials at AWS, in the ways of AWS's
// SDKs, where they are needed.
func (s *server) openKinesis(ctx context.Context) error {
	if s.cfg.Kinesis == "" {
		return nil
	}
	own, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("--kinesis: the server's own credentials at AWS cannot be set up: %w", err)
	}
	s.service.Kinesis = true
	s.roles = &kinesis.Clients{Config: own, STSURL: s.cfg.STSEndpoint}
	if s.roles.NoRoles = s.cfg.STSEndpoint == noRoles; s.roles.NoRoles {
		s.roles.STSURL = ""
	}
	if s.cfg.Kinesis != atAWS {
		s.roles.URL = s.cfg.Kinesis
	}
	if s.cfg.PayloadBucket != "" {
		s.openBucket(ctx, own)
	}
	return s.service.ShowFailures(ctx)
}

func (s *server) openBucket(ctx context.Context, own aws.Config) {
	s.bucket = &s3.Bucket{Config: own, Region: cmp.Or(own.Region, s.cfg.Region), URL: s.cfg.S3Endpoint, Name: s.cfg.PayloadBucket, Prefix: s.cfg.PayloadPrefix}
	ask, cancel := context.WithTimeout(ctx, 5*time.Second) // a machine without credentials waits for its cloud's
	defer cancel()
	passing, err := s.bucket.Passing(ask)
	switch {
	case err != nil:
		s.log.Warn("the server has no credentials for the payload bucket yet", "err", err)
	case passing:
		s.log.Warn("links to the payload bucket end with the server's credentials, which are temporary: readers that come late ask for new ones", "links", s3.LinkLife)
	}
}

// kinesisPump carries the logs of streams at Kinesis there.
func (s *server) kinesisPump() *stream.Pump {
	sink := &kinesis.Sink{
		Streams: s.store, Client: s.roles.For, Fail: s.service.FailStream, InlineLimit: int(s.cfg.StreamInlineLimit),
		Sent: s.ops.Sent, Failed: s.ops.Refused, Log: s.log,
	}
	if s.bucket != nil {
		sink.Bucket = s.bucket
	}
	const batch, batches = 1 << 20, 32
	return &stream.Pump{
		Group: kinesisGroup, Node: s.membership.Load().node, Leases: s.store, Sink: sink, Log: s.log,
		Source:   &stream.OfKind{Source: s.store, Streams: s.store, Kind: tributary.Kinesis},
		MaxBytes: batch, Batches: batches, // a stream that hangs takes up some of them for a while
		Delivered: s.ops.Delivered(kinesisGroup), Failed: s.ops.Failed(kinesisGroup),
	}
}

// dropped notes that changes will never reach Kinesis, or the warehouse.
func (s *server) dropped(ctx context.Context, gap tributary.Gap) error {
	if gap.Group == kinesisGroup {
		if err := s.service.NoteGap(ctx, gap); err != nil {
			return err
		}
	}
	s.ops.Dropped(gap)
	return nil
}

// backlogBytes is how much of the disk the changes may take that Kinesis has not
// got: a quarter, of an embedded store's. A database has a disk of its own.
func (s *server) backlogBytes(store string) (most int64, size func(context.Context, tributary.Shard) (int64, error)) {
	const share = 4
	disk, err := diskSize(s.cfg.Data)
	if store != "" || err != nil {
		return 0, nil
	}
	return int64(disk / share), s.store.LogBytes
}
