package api

import (
	"context"
	"encoding/base64"

	"tributary/awswire"
)

type webhookIn struct {
	poolID
	address string
}

func (in *webhookIn) Bind(p awswire.Params) error {
	in.address, _ = p.Query("url")
	return in.poolID.Bind(p)
}

// WebhookKey is the key that signs what is sent to a webhook of a pool.
type WebhookKey struct {
	PoolID string `json:"PoolId"`
	URL    string
	// Key is whsec_ and 32 bytes in Base64, as libraries for Standard Webhooks
	// take it.
	Key string
}

func (f *front) webhookKey(ctx context.Context, p principal, in *webhookIn) (*WebhookKey, error) {
	address, key, err := f.Service.WebhookKey(ctx, p, in.id, in.address)
	if err != nil {
		return nil, err
	}
	return &WebhookKey{PoolID: string(in.id), URL: address, Key: "whsec_" + base64.StdEncoding.EncodeToString(key)}, nil
}
