package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/config"

	"tributary/front/api"
	"tributary/trigger"
)

// lambdaOfAWS is what --lambda says for AWS's own endpoints.
const lambdaOfAWS = "aws"

// checkLambda refuses an endpoint that is no URL.
func (c *serveCmd) checkLambda() error {
	if c.Lambda == "" || c.Lambda == lambdaOfAWS {
		return nil
	}
	u, err := url.Parse(c.Lambda)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("--lambda is %q, it must be %s or a URL like http://127.0.0.1:3001", c.Lambda, lambdaOfAWS)
	}
	return nil
}

// openTriggers makes what calls the functions of pools.
func (s *server) openTriggers(ctx context.Context) error {
	calls := &trigger.Caller{Webhook: trigger.Webhook{Key: s.sealer.WebhookKey}, Log: s.log, Observe: s.ops.WatchTriggers()}
	if s.cfg.Lambda != "" {
		cfg, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return fmt.Errorf("--lambda: the settings for AWS cannot be used: %w", err)
		}
		endpoint := s.cfg.Lambda
		if endpoint == lambdaOfAWS {
			endpoint = ""
		}
		calls.Lambda = trigger.NewLambda(cfg, endpoint)
	}
	s.service.Functions = calls
	return nil
}

type poolWebhookKeyCmd struct {
	serverFlags
	Pool string `arg:"" help:"Id of the pool."`
	URL  string `arg:"" optional:"" help:"Address of the webhook. Default: the one that the pool has."`
}

// Run shows the key.
func (c *poolWebhookKeyCmd) Run(e *env) error {
	var k api.WebhookKey
	if err := c.call(e.ctx, e.lookup, "GET", "pools/"+c.Pool+"/webhook-key?"+url.Values{"url": {c.URL}}.Encode(), nil, &k); err != nil {
		return err
	}
	_, err := fmt.Fprintln(e.stdout, k.Key)
	return err
}
