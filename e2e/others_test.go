package e2e

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	credentials2 "github.com/aws/aws-sdk-go-v2/credentials"
	kinesis2 "github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// The key that servers in AWS's place take, all of them but versitygw any.
const (
	otherKey    = "AKIAOTHERSERVERS"
	otherSecret = "secret-of-other-servers"
)

// otherEnvironment gives a server of ours its own credentials there.
func otherEnvironment() []string {
	return []string{"AWS_ACCESS_KEY_ID=" + otherKey, "AWS_SECRET_ACCESS_KEY=" + otherSecret, "AWS_EC2_METADATA_DISABLED=true"}
}

// startOther starts a server of others, and ends it with the test. It gives the
// address that the pattern finds in what the server says.
func startOther(t *testing.T, pattern string, name string, args ...string) (address string) {
	t.Helper()
	said := &output{}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr, cmd.Env = said, said, environment(t, "NODE_PATH="+built(t, "servers", "node_modules"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	re := regexp.MustCompile(pattern)
	eventually(t, time.Minute, func() error {
		if m := re.FindStringSubmatch(said.String()); m != nil {
			address = m[1]
			return nil
		}
		return errors.New(name + " is not ready: " + clip(said.String()))
	})
	return address
}

// startKinesalite starts a server that speaks Kinesis.
func startKinesalite(t *testing.T) (url string) {
	t.Helper()
	script, err := filepath.Abs(filepath.Join("servers", "kinesalite.js"))
	if err != nil {
		t.Fatal(err)
	}
	return startOther(t, `(http://\S+)`, "node", script)
}

// startMoto starts a server that speaks Kinesis and STS, among others.
func startMoto(t *testing.T) (url string) {
	t.Helper()
	return startOther(t, `Running on (http://127\.0\.0\.1:[0-9]+)`, built(t, "moto", "bin", "moto_server"), "-H", "127.0.0.1", "-p", "0")
}

// startVersity starts a server that speaks S3, with a bucket.
func startVersity(t *testing.T, bucket string) (url string) {
	t.Helper()
	files, meta := t.TempDir(), t.TempDir()
	if err := os.Mkdir(filepath.Join(files, bucket), 0o700); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	startOther(t, `(`+regexp.QuoteMeta(address)+`)`, built(t, "versitygw", "versitygw"), "--access", otherKey, "--secret", otherSecret, "--region", region, "--port", address,
		"posix", "--sidecar", meta, files)
	return "http://" + address
}

// freeAddress is one that nobody listens on now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// kinesisAt is a client of a Kinesis of others.
func kinesisAt(url string) *kinesis2.Client {
	return kinesis2.New(kinesis2.Options{Region: region, BaseEndpoint: &url, Credentials: credentials2.NewStaticCredentialsProvider(otherKey, otherSecret, "")})
}

// makeStream makes a stream there.
func makeStream(t *testing.T, k *kinesis2.Client, name string, shards int32) {
	t.Helper()
	if _, err := k.CreateStream(t.Context(), &kinesis2.CreateStreamInput{StreamName: &name, ShardCount: &shards}); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() error {
		out, err := k.DescribeStreamSummary(t.Context(), &kinesis2.DescribeStreamSummaryInput{StreamName: &name})
		if err == nil && out.StreamDescriptionSummary.StreamStatus != "ACTIVE" {
			err = errors.New("the stream is " + string(out.StreamDescriptionSummary.StreamStatus))
		}
		return err
	})
}

// reader reads a stream there, from its beginning.
type reader struct {
	client    *kinesis2.Client
	stream    string
	iterators map[string]*string // by shard
}

func newReader(t *testing.T, k *kinesis2.Client, stream string) *reader {
	t.Helper()
	r := &reader{client: k, stream: stream, iterators: map[string]*string{}}
	shards, err := k.ListShards(t.Context(), &kinesis2.ListShardsInput{StreamName: &stream})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shards.Shards {
		out, err := k.GetShardIterator(t.Context(), &kinesis2.GetShardIteratorInput{StreamName: &stream, ShardId: s.ShardId, ShardIteratorType: "TRIM_HORIZON"})
		if err != nil {
			t.Fatal(err)
		}
		r.iterators[*s.ShardId] = out.ShardIterator
	}
	return r
}

// read reads what came since it was called last, each shard in its order.
func (r *reader) read(t *testing.T) (events []event) {
	t.Helper()
	for shard := range r.iterators {
		for {
			out, err := r.client.GetRecords(t.Context(), &kinesis2.GetRecordsInput{ShardIterator: r.iterators[shard]})
			if err != nil {
				t.Fatal(err)
			}
			r.iterators[shard] = out.NextShardIterator
			for _, record := range out.Records {
				e := event{shard: shard, sequence: aws.ToString(record.SequenceNumber), partitionKey: aws.ToString(record.PartitionKey)}
				decode(t, record.Data, &e)
				events = append(events, e)
			}
			if len(out.Records) == 0 {
				break
			}
		}
	}
	return events
}

// await reads until so many events are there.
func (r *reader) await(t *testing.T, n int) (events []event) {
	t.Helper()
	eventually(t, time.Minute, func() error {
		if events = append(events, r.read(t)...); len(events) < n {
			return errors.New(r.stream + " has not got enough")
		}
		return nil
	})
	return events
}
