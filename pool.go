package tributary

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Millis is a point in time in milliseconds since 1970-01-01 UTC, the unit of
// the stream record.
type Millis int64

// MillisOf converts a time, cutting what is finer than a millisecond.
func MillisOf(t time.Time) Millis { return Millis(t.UnixMilli()) }

// Time converts to a time in UTC.
func (m Millis) Time() time.Time { return time.UnixMilli(int64(m)).UTC() }

// PoolID names an identity pool: region, colon, lower-case UUID.
type PoolID string

const maxIDLength = 55 // characters, by the service model

// CheckPoolID tells whether id has the form that the service model demands.
func CheckPoolID(id PoolID) error { return checkID("identityPoolId", string(id)) }

func checkID(field, id string) error {
	if len(id) > maxIDLength || !validID(id) {
		return Errorf(Invalid, "check "+field,
			"1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must have length between 1 and %d and satisfy regular expression pattern: [\\w-]+:[0-9a-f-]+",
			clip(id), field, maxIDLength)
	}
	return nil
}

// validID tells whether id matches [\w-]+:[0-9a-f-]+, the service model's
// pattern. A regular expression would take a good part of a sync's time.
func validID(id string) bool {
	region, rest, found := strings.Cut(id, ":")
	return found && consists(region, func(c byte) bool { return isWord(c) || c == '-' }) &&
		consists(rest, func(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || c == '-' })
}

// consists tells whether s is not empty and holds only bytes that pass.
func consists(s string, pass func(byte) bool) bool {
	for i := 0; i < len(s); i++ {
		if !pass(s[i]) {
			return false
		}
	}
	return s != ""
}

// isWord is \w of regular expressions.
func isWord(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
}

// clip shortens what a caller sent, for an error text.
func clip(s string) string { return cut(s, 128) }

// cut shortens a text to most bytes, at a character's border.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// Region is the pool's region: the part of its id before the colon.
func (id PoolID) Region() string {
	region, _, _ := strings.Cut(string(id), ":")
	return region
}

// Pool is an identity pool: who may have an identity, where the changes of its
// data go, and how much data an identity may hold.
type Pool struct {
	ID       PoolID
	Revision int64 // rises with every PutPool; 0 in a pool that is not stored yet
	Name     string

	AllowUnauthenticated bool
	AllowClassicFlow     *bool             // nil: never said
	LoginProviders       map[string]string // provider name to app id
	DeveloperProvider    string
	OpenIDProviders      []string // ARNs
	// OpenIDClients are the audiences that a provider's tokens may have, by its ARN.
	OpenIDClients    map[string][]string
	SAMLProviders    []string // ARNs
	CognitoProviders []CognitoProvider
	Tags             map[string]string
	Roles            Roles
	PrincipalTags    map[string]TagMap // by provider

	Stream  StreamConfig
	Bulk    BulkPublish
	Push    PushConfig
	Events  map[string]string // function by event, as Cognito Events has them
	Limits  Limits
	Created Millis
	// Deleted marks a pool that is refused to all and being emptied.
	Deleted bool
}

// Clone copies a pool, so that nothing is shared.
func (p *Pool) Clone() Pool {
	out := *p
	out.LoginProviders, out.Tags = maps.Clone(p.LoginProviders), maps.Clone(p.Tags)
	out.OpenIDProviders, out.SAMLProviders = slices.Clone(p.OpenIDProviders), slices.Clone(p.SAMLProviders)
	out.CognitoProviders, out.Push.ApplicationARNs = slices.Clone(p.CognitoProviders), slices.Clone(p.Push.ApplicationARNs)
	out.AllowClassicFlow, out.OpenIDClients = cloneBool(p.AllowClassicFlow), maps.Clone(p.OpenIDClients)
	for arn, clients := range out.OpenIDClients {
		out.OpenIDClients[arn] = slices.Clone(clients)
	}
	out.Events = maps.Clone(p.Events)
	out.Roles, out.PrincipalTags = p.Roles.clone(), cloneTagMaps(p.PrincipalTags)
	for i := range out.CognitoProviders {
		c := &out.CognitoProviders[i]
		c.ServerSideTokenCheck = cloneBool(c.ServerSideTokenCheck)
	}
	return out
}

func cloneBool(b *bool) *bool {
	if b == nil {
		return nil
	}
	return new(*b)
}

// CognitoProvider is a Cognito user pool and one of its app clients.
type CognitoProvider struct {
	Name, ClientID       string
	ServerSideTokenCheck *bool
}

// PushConfig is the pool's push sync setting.
type PushConfig struct {
	ApplicationARNs []string
	RoleARN         string
}

// StreamConfig says where the changes of a pool go.
type StreamConfig struct {
	Name    StreamName // "" if none was ever set
	ID      StreamID   // what Name stood for when it was set
	RoleARN string
	Enabled bool
	// DisabledReason is set when streaming turned itself off.
	DisabledReason string
	// Kept says that it turned itself off because the stream could not be
	// reached: the changes are kept in its log, to be sent later.
	Kept bool
	// Off is since when it is off by a person's will, 0 if it is not. What is
	// changed meanwhile never reaches the stream.
	Off Millis
	// GapFrom and GapUntil are the last time that streaming was off like that,
	// or in which changes were dropped; 0 if there was none.
	GapFrom, GapUntil Millis
}

// BulkStatus is how far a bulk publish got, in AWS's words.
type BulkStatus string

// The states of a bulk publish.
const (
	BulkNotStarted BulkStatus = "" // NOT_STARTED on the wire
	BulkInProgress BulkStatus = "IN_PROGRESS"
	BulkFailed     BulkStatus = "FAILED"
	BulkSucceeded  BulkStatus = "SUCCEEDED"
)

// BulkPublish is the last bulk publish of a pool.
type BulkPublish struct {
	Status             BulkStatus
	Started, Completed Millis   // Completed: 0 before it ended
	Stream             StreamID // where it goes
	Failure            string   // why it failed
}

// Route is the log to which the pool's changes go: the configured stream while
// it is enabled, or will go on later, else the store's default log.
func (p *Pool) Route() StreamID {
	if (p.Stream.Enabled || p.Stream.Kept) && p.Stream.ID != 0 {
		return p.Stream.ID
	}
	return DefaultStream
}

// Limits bound what one identity may store.
type Limits struct {
	ValueBytes   int64 // bytes of one value
	DatasetBytes int64 // bytes of all live keys and values of a dataset
	Records      int64 // live records of a dataset
	Datasets     int64 // datasets of an identity
}

// defaultLimits are AWS's.
var defaultLimits = Limits{ValueBytes: 1 << 20, DatasetBytes: 1 << 20, Records: 1024, Datasets: 20}

// Effective fills what is not set with AWS's limits: values and datasets of
// 1 MiB, 1,024 records, 20 datasets.
func (l Limits) Effective() Limits {
	pick := func(have, otherwise int64) int64 {
		if have > 0 {
			return have
		}
		return otherwise
	}
	return Limits{
		ValueBytes:   pick(l.ValueBytes, defaultLimits.ValueBytes),
		DatasetBytes: pick(l.DatasetBytes, defaultLimits.DatasetBytes),
		Records:      pick(l.Records, defaultLimits.Records),
		Datasets:     pick(l.Datasets, defaultLimits.Datasets),
	}
}

// tombstonesPerRecord bounds the tombstones that a dataset keeps, as a
// multiple of its record limit.
const tombstonesPerRecord = 16

// Tombstones is how many tombstones a dataset keeps at most. Their keys take
// at most DatasetBytes.
func (l Limits) Tombstones() int64 {
	records := l.Effective().Records
	if records > math.MaxInt64/tombstonesPerRecord {
		return math.MaxInt64
	}
	return tombstonesPerRecord * records
}

// Usage is what a pool or an identity holds and does.
type Usage struct {
	Bytes        int64 // live keys and values
	Sessions     int64 // sync sessions begun; of pools only
	LastModified Millis
}
