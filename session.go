package tributary

import (
	"encoding/binary"
	"time"
)

// sessionLife is how long a sync session token may be used.
const sessionLife = time.Hour

// A session token proves that its holder has listed a dataset within the last
// hour. It is sealed, so the server keeps nothing, and bound to the dataset.

func sessionContext(k DatasetKey) string {
	return bindTo("session", k)
}

// bindTo makes a Sealer's context of a purpose and a dataset.
func bindTo(purpose string, k DatasetKey) string {
	return purpose + "\x00" + string(k.Pool) + "\x00" + string(k.Identity) + "\x00" + string(k.Dataset)
}

func (s *Service) newSession(k DatasetKey) string {
	until := MillisOf(s.now().Add(sessionLife))
	return s.Sealer.Seal(sessionContext(k), binary.AppendVarint(nil, int64(until)))
}

// checkSession refuses a token that is not for this dataset, or too old.
func (s *Service) checkSession(k DatasetKey, token string) error {
	const op = "check session"
	if token == "" {
		return Errorf(Invalid, op, "1 validation error detected: Value null at 'syncSessionToken' failed to satisfy constraint: Member must not be null")
	}
	plain, err := s.Sealer.Open(sessionContext(k), token)
	if err != nil {
		return &Error{Kind: Invalid, Op: op, Msg: "SyncSessionToken not valid for these inputs", Err: err}
	}
	until, n := binary.Varint(plain)
	if n != len(plain) || MillisOf(s.now()) > Millis(until) {
		return Errorf(Invalid, op, "SyncSessionToken has expired: list the records again for a new one")
	}
	return nil
}

// page is where a listing of records goes on.
type page struct {
	pinned int64  // the dataset's count when the first page was read
	after  Cursor // the last record shown
	live   bool   // tombstones are left out
	told   bool   // the first page said that the dataset was deleted in between
}

func (p *page) encode() []byte {
	b := binary.AppendVarint(nil, p.pinned)
	b = binary.AppendVarint(b, p.after.SyncCount)
	var flags byte
	if p.live {
		flags |= 1
	}
	if p.told {
		flags |= 2
	}
	return append(append(b, flags), p.after.Key...)
}

func decodePage(b []byte) (page, bool) {
	pinned, n := binary.Varint(b)
	if n <= 0 {
		return page{}, false
	}
	count, m := binary.Varint(b[n:])
	if m <= 0 || len(b) <= n+m {
		return page{}, false
	}
	flags := b[n+m]
	return page{pinned: pinned, after: Cursor{SyncCount: count, Key: string(b[n+m+1:])}, live: flags&1 != 0, told: flags&2 != 0}, true
}
