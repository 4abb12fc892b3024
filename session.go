package tributary

import (
	"encoding/binary"
	"time"
)

// sessionLife is how long a sync session token may be used.
const sessionLife = time.Hour

// A session token proves that its holder has listed a dataset within the last
// hour, and tells since which count: what lies above was shown. It is sealed,
// so the server keeps nothing, and bound to the dataset.

func sessionContext(k DatasetKey) string {
	return bindTo("session", k)
}

// bindTo makes a Sealer's context of a purpose and a dataset.
func bindTo(purpose string, k DatasetKey) string {
	return purpose + "\x00" + string(k.Pool) + "\x00" + string(k.Identity) + "\x00" + string(k.Dataset)
}

func (s *Service) newSession(k DatasetKey, since int64) string {
	until := MillisOf(s.now().Add(sessionLife))
	return s.Sealer.Seal(sessionContext(k), binary.AppendVarint(binary.AppendVarint(nil, int64(until)), since))
}

// checkSession refuses a token that is not for this dataset, or too old, and
// gives since which count its list was.
func (s *Service) checkSession(k DatasetKey, token string) (since int64, err error) {
	const op = "check session"
	if token == "" {
		return 0, Errorf(Invalid, op, "1 validation error detected: Value null at 'syncSessionToken' failed to satisfy constraint: Member must not be null")
	}
	plain, err := s.Sealer.Open(sessionContext(k), token)
	if err != nil {
		return 0, &Error{Kind: Invalid, Op: op, Msg: "SyncSessionToken not valid for these inputs", Err: err}
	}
	until, n := binary.Varint(plain)
	since, m := binary.Varint(plain[max(n, 0):])
	if n <= 0 || m <= 0 || MillisOf(s.now()) > Millis(until) {
		return 0, Errorf(Invalid, op, "SyncSessionToken has expired: list the records again for a new one")
	}
	return since, nil
}

// page is where a listing of records goes on.
type page struct {
	pinned int64  // the dataset's count when the first page was read
	since  int64  // what is shown has changed since this count; 0: everything
	after  Cursor // the last record shown
	told   bool   // the first page said that the dataset was deleted in between
}

func (p *page) encode() []byte {
	var b []byte
	for _, v := range []int64{p.pinned, p.since, p.after.SyncCount} {
		b = binary.AppendVarint(b, v)
	}
	var told byte
	if p.told {
		told = 1
	}
	return append(append(b, told), p.after.Key...)
}

func decodePage(b []byte) (page, bool) {
	var v [3]int64
	for i := range v {
		n, size := binary.Varint(b)
		if size <= 0 {
			return page{}, false
		}
		v[i], b = n, b[size:]
	}
	if len(b) == 0 {
		return page{}, false
	}
	return page{pinned: v[0], since: v[1], told: b[0] == 1, after: Cursor{SyncCount: v[2], Key: string(b[1:])}}, true
}
