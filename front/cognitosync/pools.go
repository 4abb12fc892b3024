package cognitosync

import (
	"context"
	"regexp"

	"tributary"
	"tributary/awswire"
)

type poolUsage struct {
	IdentityPoolID    string `json:"IdentityPoolId"`
	SyncSessionsCount int64
	DataStorage       int64
	LastModifiedDate  awswire.Timestamp
}

type poolUsageOut struct{ IdentityPoolUsage poolUsage }

func (f *front) usage(ctx context.Context, p principal, id tributary.PoolID) (poolUsage, error) {
	u, err := f.service.PoolUsage(ctx, p, id)
	return poolUsage{IdentityPoolID: string(id), SyncSessionsCount: u.Sessions, DataStorage: u.Bytes, LastModifiedDate: timestamp(u.LastModified)}, err
}

func (f *front) describePoolUsage(ctx context.Context, p principal, in *datasetKey) (*poolUsageOut, error) {
	u, err := f.usage(ctx, p, in.Pool)
	if err != nil {
		return nil, err
	}
	return &poolUsageOut{u}, nil
}

type listPoolUsageOut struct {
	IdentityPoolUsages []poolUsage
	MaxResults         int
	Count              int
	NextToken          *string
}

// defaultPools is a page of pools when none was asked for.
const defaultPools = 60

func (f *front) listPoolUsage(ctx context.Context, p principal, in *listIn) (*listPoolUsageOut, error) {
	if in.most == 0 {
		in.most = defaultPools
	}
	pools, next, err := f.service.Pools(ctx, p, in.token, in.most)
	if err != nil {
		return nil, err
	}
	out := &listPoolUsageOut{IdentityPoolUsages: make([]poolUsage, 0, len(pools)), MaxResults: in.most, NextToken: awswire.Nullable(next)}
	for i := range pools {
		u, err := f.usage(ctx, p, pools[i].ID)
		if tributary.KindOf(err) == tributary.NotFound {
			continue // deleted since it was listed
		} else if err != nil {
			return nil, err
		}
		out.IdentityPoolUsages = append(out.IdentityPoolUsages, u)
	}
	out.Count = len(out.IdentityPoolUsages)
	return out, nil
}

type pushSync struct {
	ApplicationARNs []string `json:"ApplicationArns"`
	RoleARN         *string  `json:"RoleArn"`
}

type cognitoStreams struct {
	StreamName      string
	RoleARN         *string `json:"RoleArn"`
	StreamingStatus string
	DisabledReason  *string `json:",omitzero"`
}

type configuration struct {
	IdentityPoolID string          `json:"IdentityPoolId"`
	PushSync       *pushSync       `json:",omitzero"`
	CognitoStreams *cognitoStreams `json:",omitzero"`
}

func showConfiguration(p *tributary.Pool) *configuration {
	out := &configuration{IdentityPoolID: string(p.ID)}
	if p.Push.RoleARN != "" || len(p.Push.ApplicationARNs) > 0 {
		out.PushSync = &pushSync{ApplicationARNs: p.Push.ApplicationARNs, RoleARN: awswire.Nullable(p.Push.RoleARN)}
	}
	if s := &p.Stream; s.Name != "" {
		status := "DISABLED"
		if s.Enabled {
			status = "ENABLED"
		}
		out.CognitoStreams = &cognitoStreams{StreamName: string(s.Name), RoleARN: awswire.Nullable(s.RoleARN), StreamingStatus: status, DisabledReason: awswire.Nullable(s.DisabledReason)}
	}
	return out
}

func (f *front) configuration(ctx context.Context, p principal, in *datasetKey) (*configuration, error) {
	pool, err := f.service.Pool(ctx, p, in.Pool)
	if err != nil {
		return nil, err
	}
	return showConfiguration(&pool), nil
}

type setConfigurationIn struct {
	datasetKey     `json:"-"`
	PushSync       *pushSync
	CognitoStreams *cognitoStreams
}

func (f *front) setConfiguration(ctx context.Context, p principal, in *setConfigurationIn) (*configuration, error) {
	pool, err := f.service.ChangePool(ctx, p, in.Pool, func(pool *tributary.Pool) error {
		if in.PushSync != nil {
			if err := in.PushSync.read(&pool.Push); err != nil {
				return err
			}
		}
		if in.CognitoStreams == nil {
			return nil
		}
		return f.setStreams(ctx, pool, in.CognitoStreams)
	})
	if err != nil {
		return nil, err
	}
	return showConfiguration(&pool), nil
}

func (f *front) setStreams(ctx context.Context, pool *tributary.Pool, in *cognitoStreams) error {
	switch in.StreamingStatus {
	case "", "ENABLED", "DISABLED":
	default:
		return tributary.Errorf(tributary.Invalid, "read configuration", "1 validation error detected: Value '%.64s' at 'cognitoStreams.streamingStatus' failed to satisfy constraint: Member must satisfy enum value set: [ENABLED, DISABLED]", in.StreamingStatus)
	}
	role, err := readRole("cognitoStreams.roleArn", in.RoleARN)
	if err != nil {
		return err
	}
	enabled := in.StreamingStatus == "ENABLED"
	if in.StreamingStatus == "" { // the stream that the pool has stays on or off, another one is on
		same := in.StreamName == "" || in.StreamName == string(pool.Stream.Name)
		enabled = !same || pool.Stream.Enabled
	}
	return f.service.SetStream(ctx, pool, tributary.StreamName(in.StreamName), role, enabled)
}

var (
	rolePattern        = regexp.MustCompile(`^arn:aws:iam::\d+:role/.*$`)
	applicationPattern = regexp.MustCompile(`^arn:aws:sns:[-0-9a-z]+:\d+:app/[A-Z_]+/[a-zA-Z0-9_.-]+$`)
)

func readRole(field string, arn *string) (string, error) {
	if arn == nil || *arn == "" {
		return "", nil
	}
	if len(*arn) < 20 || len(*arn) > 2048 || !rolePattern.MatchString(*arn) {
		return "", tributary.Errorf(tributary.Invalid, "read configuration", "1 validation error detected: Value '%.64s' at '%s' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:aws:iam::\\d+:role/.*", *arn, field)
	}
	return *arn, nil
}

func (in *pushSync) read(c *tributary.PushConfig) error {
	role, err := readRole("pushSync.roleArn", in.RoleARN)
	if err != nil {
		return err
	}
	for _, arn := range in.ApplicationARNs {
		if !applicationPattern.MatchString(arn) {
			return tributary.Errorf(tributary.Invalid, "read configuration", "1 validation error detected: Value '%.64s' at 'pushSync.applicationArns' failed to satisfy constraint: Member must satisfy regular expression pattern: %s", arn, applicationPattern)
		}
	}
	*c = tributary.PushConfig{ApplicationARNs: in.ApplicationARNs, RoleARN: role}
	return nil
}
