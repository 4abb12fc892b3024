// Package api is the front with the server's own operations, under
// /_tributary/v1/: what AWS has no operation for. REST-JSON, signing name
// tributary, for developers. docs/api.md describes it.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"tributary"
	"tributary/audit"
	"tributary/awswire"
)

// Name is the service's signing name.
const Name = "tributary"

// Prefix is what the paths of all operations begin with.
const Prefix = "/_tributary/v1/"

// QueryPath is the path of queries.
const QueryPath = Prefix + "query"

const maxBody = 1 << 20

// Config says what the front stands on.
type Config struct {
	Service      *tributary.Service
	Authenticate func(*http.Request, awswire.ReadBody) (tributary.Principal, error)
	// Query runs one SELECT on the warehouse.
	Query func(ctx context.Context, sql string, maxRows int, timeout time.Duration) (*Table, error)
	// Backup begins a backup of the store.
	Backup func(ctx context.Context) (*awswire.Stream, error)
	// Move begins to move the store, Moved tells how far it is; nil if it was
	// not moved.
	Move  func(to string) (*Move, error)
	Moved func() *Move
	// AccessKeys manages the developers' access keys.
	AccessKeys AccessKeys
	// Payloads are what links of stream records lead to.
	Payloads Payloads
	// Audit reads a page of the audit log.
	Audit   func(context.Context, audit.Query) (audit.Page, error)
	Log     *slog.Logger
	Begin   awswire.Begin[principal]
	Observe func(service, operation string, status int, took time.Duration)
}

// Table is the result of a query.
type Table struct {
	Columns []string
	Types   []string // the warehouse's names of the columns' types
	Rows    [][]any  // texts, numbers, truth values, nulls; anything else as text
	Cut     bool     // there were more rows
}

type front struct{ Config }

type (
	op        = awswire.Operation[tributary.Principal]
	principal = tributary.Principal
)

// New makes the front.
func New(c Config) http.Handler {
	f := &front{c}
	return &awswire.Service[principal]{
		Name: Name, Protocol: awswire.RESTJSON, Operations: f.operations(), Authenticate: c.Authenticate,
		Begin: c.Begin, Fault: fault, MaxBody: maxBody, Log: c.Log, Observe: c.Observe,
	}
}

func (f *front) operations() []op {
	return append(append(f.accessKeyOperations(), f.payloadOperations()...), []op{
		{Name: "CreatePool", Method: "POST", Path: Prefix + "pools", Handle: awswire.StrictHandler(f.createPool)},
		{Name: "DescribePool", Method: "GET", Path: Prefix + "pools/{PoolId}", Handle: awswire.StrictHandler(f.describePool)},
		{Name: "SetPool", Method: "POST", Path: Prefix + "pools/{PoolId}", Handle: awswire.StrictHandler(f.setPool)},
		{Name: "GetWebhookKey", Method: "GET", Path: Prefix + "pools/{PoolId}/webhook-key", Handle: awswire.StrictHandler(f.webhookKey)},
		{Name: "CreateIdentity", Method: "POST", Path: Prefix + "pools/{PoolId}/identities", Handle: awswire.StrictHandler(f.createIdentity)},
		{Name: "MoveStore", Method: "POST", Path: Prefix + "store/move", Handle: awswire.StrictHandler(f.moveStore)},
		{Name: "DescribeStoreMove", Method: "GET", Path: Prefix + "store/move", Handle: awswire.StrictHandler(f.describeMove)},
		{Name: "ListAudit", Method: "GET", Path: Prefix + "audit", Handle: awswire.StrictHandler(f.listAudit)},
		{Name: "Query", Method: "POST", Path: QueryPath, Handle: awswire.StrictHandler(f.query)},
		{Name: "Backup", Method: "POST", Path: BackupPath, Handle: awswire.StrictHandler(f.backup)},
	}...)
}

// faults is what each Kind is called on this wire.
var faults = [...]struct {
	code   string
	status int
}{
	tributary.Internal:      {"InternalErrorException", http.StatusInternalServerError},
	tributary.Invalid:       {"InvalidParameterException", http.StatusBadRequest},
	tributary.NotFound:      {"ResourceNotFoundException", http.StatusNotFound},
	tributary.Exists:        {"ResourceConflictException", http.StatusConflict},
	tributary.Stale:         {"ConcurrentModificationException", http.StatusConflict},
	tributary.Denied:        {"NotAuthorizedException", http.StatusForbidden},
	tributary.Limit:         {"LimitExceededException", http.StatusBadRequest},
	tributary.Throttled:     {"TooManyRequestsException", http.StatusTooManyRequests},
	tributary.Busy:          {"TooManyRequestsException", http.StatusTooManyRequests},
	tributary.Trigger:       {"InvalidLambdaFunctionOutputException", http.StatusBadRequest},
	tributary.Unavailable:   {"ServiceUnavailableException", http.StatusServiceUnavailable},
	tributary.Taken:         {"ResourceConflictException", http.StatusConflict},
	tributary.Misconfigured: {"InvalidConfigurationException", http.StatusBadRequest},
	tributary.Forbidden:     {"AccessDeniedException", http.StatusForbidden},
}

func fault(_ string, err error) *awswire.Fault {
	kind := tributary.KindOf(err)
	f := &awswire.Fault{Code: faults[kind].code, Status: faults[kind].status, Message: tributary.Message(err)}
	if kind == tributary.Internal {
		f.Message = "Internal error"
	}
	return f
}

// Limits are a pool's, on the wire. A limit that is absent, or 0, is AWS's.
type Limits struct {
	ValueBytes   int64 `json:",omitzero"`
	DatasetBytes int64 `json:",omitzero"`
	Records      int64 `json:",omitzero"`
	Datasets     int64 `json:",omitzero"`
}

// Pool is an identity pool as these operations show it.
type Pool struct {
	PoolID               string `json:"PoolId"`
	Name                 string
	AllowUnauthenticated bool
	Limits               Limits // in force
	// OpenIDProviders are the ARNs of the pool's OpenID providers.
	OpenIDProviders []string `json:",omitempty"`
	// OpenIDClients are the audiences that tokens of OpenID providers may have, by
	// the provider's ARN. Those of a provider that the pool does not have count
	// once it does.
	OpenIDClients map[string][]string `json:",omitempty"`
	// Roles are the ARNs of the roles that the pool may give, those apart that
	// only a token names, which one may with RolesOfTokens.
	Roles         []string `json:",omitempty"`
	RolesOfTokens bool     `json:",omitzero"`
	// AuthenticatedRole and UnauthenticatedRole are those of users, whom no
	// mapping gives another, and of guests; "" if none was set.
	AuthenticatedRole   string `json:",omitzero"`
	UnauthenticatedRole string `json:",omitzero"`
	// RolePolicies are the IAM policies of roles, by ARN. That of a role which the
	// pool does not give counts once it does.
	RolePolicies map[string]string `json:",omitempty"`
}

func showPool(p *tributary.Pool) *Pool {
	roles, tokens := p.Roles.Names()
	return &Pool{PoolID: string(p.ID), Name: p.Name, AllowUnauthenticated: p.AllowUnauthenticated, Limits: Limits(p.Limits.Effective()),
		OpenIDProviders: p.OpenIDProviders, OpenIDClients: p.OpenIDClients, Roles: roles, RolesOfTokens: tokens,
		AuthenticatedRole: p.Roles.Authenticated, UnauthenticatedRole: p.Roles.Unauthenticated, RolePolicies: p.Roles.Policies}
}

// mostLimit is more than any disk holds, and leaves room to compute with.
const mostLimit = 1 << 40

func (l *Limits) read(into *tributary.Limits) error {
	if min(l.ValueBytes, l.DatasetBytes, l.Records, l.Datasets) < 0 || max(l.ValueBytes, l.DatasetBytes, l.Records, l.Datasets) > mostLimit {
		return tributary.Errorf(tributary.Invalid, "read limits", "A limit must be between 0, which is AWS's limit, and %d", int64(mostLimit))
	}
	*into = tributary.Limits(*l)
	return nil
}

type createPoolIn struct {
	PoolID               string `json:"PoolId"`
	Name                 string
	AllowUnauthenticated bool
	Limits               Limits
}

func (f *front) createPool(ctx context.Context, p principal, in *createPoolIn) (*Pool, error) {
	pool := tributary.Pool{ID: tributary.PoolID(in.PoolID), Name: in.Name, AllowUnauthenticated: in.AllowUnauthenticated}
	if err := in.Limits.read(&pool.Limits); err != nil {
		return nil, err
	}
	pool, err := f.Service.CreatePool(ctx, p, pool)
	if err != nil {
		return nil, err
	}
	return showPool(&pool), nil
}

type poolID struct{ id tributary.PoolID }

func (in *poolID) Bind(p awswire.Params) error {
	in.id = tributary.PoolID(p.Path("PoolId"))
	return nil
}

func (f *front) describePool(ctx context.Context, p principal, in *poolID) (*Pool, error) {
	pool, err := f.Service.Pool(ctx, p, in.id)
	if err != nil {
		return nil, err
	}
	return showPool(&pool), nil
}

// setPoolIn changes what it names.
type setPoolIn struct {
	poolID               `json:"-"`
	AllowUnauthenticated *bool
	ValueBytes           *int64
	DatasetBytes         *int64
	Records              *int64
	Datasets             *int64
	// OpenIDClients and RolePolicies change the entries that they name; an empty
	// list or text removes one.
	OpenIDClients map[string][]string
	RolePolicies  map[string]string
}

func (f *front) setPool(ctx context.Context, p principal, in *setPoolIn) (*Pool, error) {
	pool, err := f.Service.ChangePool(ctx, p, in.id, func(pool *tributary.Pool) error {
		limits := Limits(pool.Limits)
		for _, change := range []struct {
			to   *int64
			from *int64
		}{{&limits.ValueBytes, in.ValueBytes}, {&limits.DatasetBytes, in.DatasetBytes}, {&limits.Records, in.Records}, {&limits.Datasets, in.Datasets}} {
			if change.from != nil {
				*change.to = *change.from
			}
		}
		if in.AllowUnauthenticated != nil {
			pool.AllowUnauthenticated = *in.AllowUnauthenticated
		}
		if err := limits.read(&pool.Limits); err != nil {
			return err
		}
		return pool.SetSignIn(in.OpenIDClients, in.RolePolicies, f.Service.Account)
	})
	if err != nil {
		return nil, err
	}
	return showPool(&pool), nil
}

type createIdentityIn struct {
	poolID     `json:"-"`
	IdentityID string `json:"IdentityId"`
}

type identityOut struct {
	PoolID     string `json:"PoolId"`
	IdentityID string `json:"IdentityId"`
}

func (f *front) createIdentity(ctx context.Context, p principal, in *createIdentityIn) (*identityOut, error) {
	i, err := f.Service.CreateIdentity(ctx, p, tributary.Identity{Pool: in.id, ID: tributary.IdentityID(in.IdentityID)})
	if err != nil {
		return nil, err
	}
	return &identityOut{PoolID: string(i.Pool), IdentityID: string(i.ID)}, nil
}

type queryIn struct {
	SQL            string
	MaxRows        int
	TimeoutSeconds int
}

const (
	defaultRows    = 10_000
	mostRows       = 1_000_000
	defaultTimeout = 30
	longestTimeout = 600
)

func (f *front) query(ctx context.Context, p principal, in *queryIn) (*Table, error) {
	if err := f.Service.Allow(p, "query", "*"); err != nil {
		return nil, err
	}
	if in.MaxRows == 0 {
		in.MaxRows = defaultRows
	}
	if in.TimeoutSeconds == 0 {
		in.TimeoutSeconds = defaultTimeout
	}
	if in.MaxRows < 1 || in.MaxRows > mostRows || in.TimeoutSeconds < 1 || in.TimeoutSeconds > longestTimeout {
		return nil, tributary.Errorf(tributary.Invalid, "query", "MaxRows must be between 1 and %d, TimeoutSeconds between 1 and %d", mostRows, longestTimeout)
	}
	return f.Query(ctx, in.SQL, in.MaxRows, time.Duration(in.TimeoutSeconds)*time.Second)
}
