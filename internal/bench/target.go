package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"tributary/awswire"
)

const (
	ownService    = "tributary"
	kinesisName   = "kinesis"
	kinesisPrefix = "Kinesis_20131202."
	ownPrefix     = "/_tributary/v1/"
	streamName    = "bench"
	streamShards  = 4
	leastDatasets = 64   // that an identity may have
	leastRecords  = 1024 // that a dataset may have
)

// target is a server under test, and what was made on it.
type target struct {
	endpoint
	warehouse string    // which it has, as the report calls it
	dir       string    // its data folder; "": not ours
	debug     string    // address of its profiling pages; "": none
	pid       int       // 0: not known
	child     *child    // nil: not ours
	others    []*target // more nodes over the same store, for a time
	database  *database // under the store; nil: none
	identity  bool      // identities sync their own data
	pool      string
	seed      uint64
	made      atomic.Int64 // populations, each with random sources of its own

	mu       sync.Mutex // guards datasets
	datasets []*dataset // of all populations, those aside that were only filled in
}

// startServer starts a server of our own on a fresh folder.
func (r *runner) startServer(ctx context.Context, warehouse string) (*target, error) {
	return r.startWith(ctx, &target{warehouse: warehouse}, nil, "--warehouse", warehouse)
}

// startWith starts the server of a target, with more in its environment and
// more flags.
func (r *runner) startWith(ctx context.Context, t *target, env []string, flags ...string) (*target, error) {
	t.identity = r.cfg.AsIdentities
	t.dir, t.seed = filepath.Join(r.temp, fmt.Sprintf("server-%d", r.started)), r.report.Seed
	r.started++
	var err error
	if t.debug, err = freeAddress(ctx); err != nil {
		return nil, err
	}
	args := slices.Concat([]string{"serve", "--listen", "127.0.0.1:0", "--data", t.dir, "--region", r.cfg.Region,
		"--debug-listen", t.debug, "--log-level", "warn"}, flags, r.rates(), r.cfg.Serve)
	if t.child, err = startChild(r.cfg.Executable, r.cfg.Env, env, args...); err != nil {
		return nil, err
	}
	key := t.key // of a node before this one
	if key.AccessKeyID == "" {
		if key, err = r.cfg.ReadKey(filepath.Join(t.dir, "credentials")); err != nil {
			return nil, errors.Join(err, t.child.stop())
		}
	}
	t.endpoint, err = newEndpoint(t.child.url, r.cfg.Region)
	t.key, t.pid = key, t.child.pid()
	return t, err
}

// rates lets identities ask as often as the load does, without taking the
// counting away.
func (r *runner) rates() []string {
	if !r.cfg.AsIdentities {
		return nil
	}
	return []string{"--identity-rate", "1000000", "--public-rate", "1000000"}
}

// nodes are the server and those beside it.
func (t *target) nodes() []*target { return append([]*target{t}, t.others...) }

func (t *target) endpoints() []endpoint {
	var list []endpoint
	for _, n := range t.nodes() {
		list = append(list, n.endpoint)
	}
	return list
}

// usage reads the meters of all processes of the server.
func (t *target) usage() usage {
	var pids []int
	for _, n := range t.nodes() {
		pids = append(pids, n.pid)
	}
	u := usageNow(pids...)
	t.database.meter(&u)
	return u
}

// givenServer is the server that the caller named.
func (r *runner) givenServer() (*target, error) {
	e, err := newEndpoint(r.cfg.Server, r.cfg.Region)
	e.key = r.cfg.Key
	return &target{endpoint: e, warehouse: "as it is", pid: r.cfg.ServerPID, seed: r.report.Seed, identity: r.cfg.AsIdentities}, err
}

func newEndpoint(server, region string) (endpoint, error) {
	u, err := url.Parse(server)
	if err != nil {
		return endpoint{}, err
	}
	if u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return endpoint{}, fmt.Errorf("the server's address is %q, it must be like http://127.0.0.1:8080", server)
	}
	if u.Port() == "" {
		u.Host += ":80"
	}
	return endpoint{address: u.Host, region: region}, nil
}

// stop ends a server of ours.
func (t *target) stop() error {
	if t.child == nil {
		return nil
	}
	return t.child.stop()
}

// ask makes a single call on a connection of its own.
func (t *target) ask(ctx context.Context, service string, r call, in, out any) error {
	c, err := dial(ctx, t.endpoint, service)
	if err != nil {
		return err
	}
	defer c.close()
	return c.exchange(r, in, out)
}

func kinesis(operation string) call {
	return call{method: "POST", target: "/", operation: kinesisPrefix + operation}
}

// createPool makes the pool that everything is in, and the stream to which its
// changes go.
func (t *target) createPool(ctx context.Context, random *rand.Rand, datasets int, stream bool) error {
	t.pool = t.region + ":" + randomUUID(random)
	limits := map[string]int{"Datasets": max(leastDatasets, datasets), "Records": leastRecords}
	in := map[string]any{"PoolId": t.pool, "Name": "bench", "Limits": limits, "AllowUnauthenticated": t.identity}
	if err := t.ask(ctx, ownService, call{method: "POST", target: ownPrefix + "pools"}, in, nil); err != nil {
		return err
	}
	if err := t.setRole(ctx); err != nil || !stream {
		return err
	}
	err := t.ask(ctx, kinesisName, kinesis("CreateStream"), map[string]any{"StreamName": streamName, "ShardCount": streamShards}, nil)
	if f := (*fault)(nil); errors.As(err, &f) && strings.HasPrefix(f.code, "ResourceInUseException") {
		err = nil // of an earlier run on this server
	}
	if err != nil {
		return err
	}
	route := map[string]any{"CognitoStreams": map[string]any{"StreamName": streamName, "StreamingStatus": "ENABLED"}}
	return t.ask(ctx, syncService, call{method: "POST", target: "/identitypools/" + t.pool + "/configuration"}, route, nil)
}

const (
	guestRole = "arn:aws:iam::000000000000:role/bench-guest"
	// guestPolicy is the one that AWS's documents give for identities.
	guestPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"cognito-sync:*",` +
		`"Resource":"arn:aws:cognito-sync:*:*:identitypool/${cognito-identity.amazonaws.com:aud}/identity/${cognito-identity.amazonaws.com:sub}/*"}]}`
)

// setRole gives the identities a role with a policy, if it is they who sync.
func (t *target) setRole(ctx context.Context) error {
	if !t.identity {
		return nil
	}
	roles := map[string]any{"IdentityPoolId": t.pool, "Roles": map[string]string{"unauthenticated": guestRole}}
	if err := t.ask(ctx, identityService, identityCall("SetIdentityPoolRoles"), roles, nil); err != nil {
		return err
	}
	return t.ask(ctx, ownService, call{method: "POST", target: ownPrefix + "pools/" + t.pool}, map[string]any{"RolePolicies": map[string]string{guestRole: guestPolicy}}, nil)
}

const identityService = "cognito-identity"

func identityCall(operation string) call {
	return call{method: "POST", target: "/", operation: "AWSCognitoIdentityService." + operation}
}

// signerOf gets an identity's credentials; nil if the developer syncs its data.
func (t *target) signerOf(w *worker, id string) (*awswire.Signer, error) {
	if !t.identity {
		return nil, nil
	}
	var out struct {
		Credentials struct{ AccessKeyId, SecretKey, SessionToken string }
	}
	err := w.exchange(identityCall("GetCredentialsForIdentity"), map[string]any{"IdentityId": id}, &out)
	c := out.Credentials
	return &awswire.Signer{Credentials: awswire.Credentials{AccessKeyID: c.AccessKeyId, SecretKey: c.SecretKey, SessionToken: c.SessionToken}, Region: t.region, Service: syncService}, err
}

func randomUUID(r *rand.Rand) string {
	hi, lo := r.Uint64(), r.Uint64()
	hi = hi&^0xf000 | 0x4000
	lo = lo&^(3<<62) | 1<<63
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", hi>>32, hi>>16&0xffff, hi&0xffff, lo>>48, lo&(1<<48-1))
}

// recipe says how datasets are made.
type recipe struct {
	identities int
	names      []string // of the datasets of each identity
	// fill writes a new dataset; nil: one sync.
	fill   func(*worker, *dataset) error
	forget bool // the datasets are not to be used again
}

// datasetNames makes n names.
func datasetNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("d%03d", i)
	}
	return names
}

// populate makes identities and their datasets. All datasets of an identity
// are made by one worker: an identity that gains datasets from many at once
// would keep them waiting for each other.
func (r *runner) populate(ctx context.Context, t *target, how recipe) (*population, error) {
	seed := t.seed + uint64(t.made.Add(1))
	ws, closeAll, err := workers(ctx, t.endpoints(), syncService, r.plan.connections, seed)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	creators, closeCreators, err := workers(ctx, t.endpoints(), ownService, len(ws), seed)
	if err != nil {
		return nil, err
	}
	defer closeCreators()
	creator := map[*worker]*worker{}
	for i, w := range ws {
		creator[w] = creators[i]
	}
	var mu sync.Mutex
	p := &population{}
	err = load{ops: int64(how.identities)}.drive(ctx, ws, func(w *worker) error {
		list, err := t.makeIdentity(w, creator[w], how)
		mu.Lock()
		defer mu.Unlock()
		if !how.forget {
			p.datasets = append(p.datasets, list...)
		}
		return err
	})
	for i, d := range p.datasets {
		d.index = i
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.datasets = append(t.datasets, p.datasets...)
	return p, err
}

// makeIdentity makes one identity and its datasets.
func (t *target) makeIdentity(w, creator *worker, how recipe) ([]*dataset, error) {
	id := t.region + ":" + randomUUID(w.draw)
	if err := creator.exchange(call{method: "POST", target: ownPrefix + "pools/" + t.pool + "/identities"}, map[string]any{"IdentityId": id}, nil); err != nil {
		return nil, err
	}
	signer, err := t.signerOf(creator, id)
	if err != nil {
		return nil, err
	}
	var list []*dataset
	for _, name := range how.names {
		d := &dataset{identity: id, name: name, as: signer, path: "/identitypools/" + t.pool + "/identities/" + id + "/datasets/" + name}
		if err := w.open(d); err != nil {
			return nil, err
		}
		fill := how.fill
		if fill == nil {
			fill = (*worker).rewrite
		}
		if err := fill(w, d); err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}
