package kinesis

import (
	"context"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	api "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"tributary"
)

// Client is what the sink needs of Kinesis.
type Client interface {
	PutRecords(ctx context.Context, in *api.PutRecordsInput, options ...func(*api.Options)) (*api.PutRecordsOutput, error)
}

// Clients makes the clients of targets, one for each. Config is required.
type Clients struct {
	Config aws.Config // the server's own credentials, and how it is connected
	URL    string     // of Kinesis; "": AWS's own in the target's region
	// STSURL is where roles are assumed; "": AWS's own in the target's region.
	STSURL string
	// NoRoles: the server's own credentials write to every stream, as local
	// Kinesis servers have it.
	NoRoles bool

	mu   sync.Mutex
	have map[tributary.Target]Client
}

// For gives a target's client.
func (c *Clients) For(t tributary.Target) Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	if client := c.have[t]; client != nil {
		return client
	}
	if c.have == nil {
		c.have = map[tributary.Target]Client{}
	}
	c.have[t] = c.open(t)
	return c.have[t]
}

func (c *Clients) open(t tributary.Target) Client {
	credentials := aws.NewCredentialsCache(c.role(t), func(o *aws.CredentialsCacheOptions) {
		o.ExpiryWindow, o.ExpiryWindowJitterFrac = 5*time.Minute, .5
	})
	return &client{credentials: credentials, api: api.New(api.Options{
		Region: t.Region, BaseEndpoint: endpoint(c.URL), Credentials: credentials, HTTPClient: c.Config.HTTPClient,
		Retryer: aws.NopRetryer{}, // the sink tries again, and knows what order demands
	})}
}

// role gives the credentials of a target's role.
func (c *Clients) role(t tributary.Target) aws.CredentialsProvider {
	if c.NoRoles {
		return c.Config.Credentials
	}
	roles := sts.New(sts.Options{
		Region: t.Region, BaseEndpoint: endpoint(c.STSURL), Credentials: c.Config.Credentials, HTTPClient: c.Config.HTTPClient, Retryer: aws.NopRetryer{},
	})
	return stscreds.NewAssumeRoleProvider(roles, t.RoleARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName, o.Duration = sessionName(t.Name), time.Hour
	})
}

// sessionName is by whom CloudTrail says that a role was assumed.
func sessionName(stream tributary.StreamName) string {
	const most = 64
	name := "tributary-" + string(stream)
	return name[:min(len(name), most)]
}

func endpoint(url string) *string {
	if url == "" {
		return nil
	}
	return &url
}

// client forgets credentials that were refused.
type client struct {
	api         *api.Client
	credentials *aws.CredentialsCache
}

func (c *client) PutRecords(ctx context.Context, in *api.PutRecordsInput, options ...func(*api.Options)) (*api.PutRecordsOutput, error) {
	out, err := c.api.PutRecords(ctx, in, options...)
	if isCredentials(err) {
		c.credentials.Invalidate()
	}
	return out, err
}
