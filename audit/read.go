package audit

import (
	"context"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"tributary"
)

// Query says which entries to read.
type Query struct {
	Since time.Time // the first ones of then or later
	After string    // a place in the log: what is after it, whenever it was; ""
	Limit int       // entries at most, at least 1
	// AccessKey is of whom; "": of all.
	AccessKey string
	// Action is a pattern with * and ?, without regard to case, such as
	// cognito-identity:Delete*. Without a service it is of any. "": all.
	Action string
}

// Page is what a query reads, oldest first. It may have few entries, or none,
// although there are more: each page looks at a part of the log.
type Page struct {
	Entries []Entry
	Next    string // the place after it, "" if nothing was ever written
	More    bool   // the log has more, which may not be asked for
	Looked  int    // how many entries of the log it looked at
}

// maxLooked is how many entries a page looks at.
const maxLooked = 10_000

const opRead = "read audit log"

var (
	keyPattern    = regexp.MustCompile(`^[0-9A-Za-z]{1,128}$`)
	actionPattern = regexp.MustCompile(`^([0-9A-Za-z*?-]{1,64}:)?[0-9A-Za-z*?]{1,64}$`)
)

func (q *Query) check() error {
	if q.AccessKey != "" && !keyPattern.MatchString(q.AccessKey) {
		return tributary.Errorf(tributary.Invalid, opRead, "The access key is %.128q, it must be the id of one, such as AKIA0123456789ABCDEF", q.AccessKey)
	}
	if q.Action != "" && !actionPattern.MatchString(q.Action) {
		return tributary.Errorf(tributary.Invalid, opRead, "The action is %.128q, it must be a name such as cognito-identity:DeleteIdentityPool, cognito-identity:Delete* or DeleteIdentityPool, of letters, digits, * and ?", q.Action)
	}
	return nil
}

// Selects tells whether an action is one that is asked for.
func (q *Query) Selects(action string) bool {
	if q.Action == "" {
		return true
	}
	if !strings.Contains(q.Action, ":") {
		_, action, _ = strings.Cut(action, ":")
	}
	ok, _ := path.Match(strings.ToLower(q.Action), strings.ToLower(action)) // a pattern that was checked is well formed
	return ok
}

// Read reads a page.
//
// Errors: Invalid.
func (l *Log) Read(ctx context.Context, q Query) (Page, error) {
	if err := q.check(); err != nil {
		return Page{}, err
	}
	s, err := l.Store.Stream(ctx, tributary.AuditStream)
	if tributary.KindOf(err) == tributary.NotFound {
		return Page{}, nil // nothing was ever written
	}
	if err != nil {
		return Page{}, err
	}
	shard := tributary.Shard{Stream: s.ID}
	pos := tributary.Position(q.After)
	if pos == "" {
		if pos, err = l.Store.Find(ctx, shard, max(tributary.MillisOf(q.Since), 0)); err != nil {
			return Page{}, err
		}
	}
	return l.scan(ctx, shard, pos, &q)
}

// scan reads a page from what is after a position.
func (l *Log) scan(ctx context.Context, shard tributary.Shard, pos tributary.Position, q *Query) (Page, error) {
	out := Page{Next: string(pos)}
	for {
		batch, err := l.Store.Read(ctx, shard, pos, 64<<10)
		if tributary.KindOf(err) == tributary.Invalid {
			return Page{}, tributary.Errorf(tributary.Invalid, opRead, "NextToken is not valid")
		}
		if err != nil {
			return Page{}, err
		}
		if len(batch) == 0 {
			return out, nil
		}
		for i := range batch {
			if len(out.Entries) == q.Limit || out.Looked == maxLooked {
				out.More = true
				return out, nil
			}
			out.Looked++
			if err := q.take(&out, &batch[i]); err != nil {
				return Page{}, err
			}
			pos = batch[i].Position
			out.Next = string(pos)
		}
	}
}

// take adds an entry of the log to a page, if it is one that is asked for.
func (q *Query) take(out *Page, from *tributary.Entry) error {
	if from.Kind != tributary.EntryForeign || q.AccessKey != "" && from.Foreign.PartitionKey != q.AccessKey {
		return nil
	}
	var e Entry
	if err := json.Unmarshal(from.Foreign.Data, &e); err != nil {
		return &tributary.Error{Kind: tributary.Internal, Op: opRead, Err: err}
	}
	if q.Selects(e.Action) {
		out.Entries = append(out.Entries, e)
	}
	return nil
}
