package api

import (
	"context"
	"strconv"
	"time"

	"tributary"
	"tributary/audit"
	"tributary/awswire"
)

const (
	auditPage     = 1000
	mostAuditPage = 10_000
)

// listAuditIn asks for a page of the audit log.
type listAuditIn struct {
	since time.Time
	after string
	most  int
}

func (in *listAuditIn) Bind(p awswire.Params) (err error) {
	const op = "list audit"
	in.after, _ = p.Query("nextToken")
	in.most = auditPage
	if text, given := p.Query("maxResults"); given {
		if in.most, err = strconv.Atoi(text); err != nil || in.most < 1 || in.most > mostAuditPage {
			return tributary.Errorf(tributary.Invalid, op, "maxResults is %q, it must be a number from 1 to %d", text, mostAuditPage)
		}
	}
	if text, given := p.Query("since"); given {
		if in.since, err = time.Parse(time.RFC3339, text); err != nil || in.since.UnixMilli() < 0 {
			return tributary.Errorf(tributary.Invalid, op, "since is %q, it must be a time like 2026-11-23T18:00:00Z", text)
		}
	} else {
		in.since = time.UnixMilli(0)
	}
	return nil
}

// AuditPage is a page of the audit log, oldest first. NextToken goes on after it,
// also with what comes later.
type AuditPage struct {
	Entries   []audit.Entry
	NextToken string `json:",omitzero"`
}

func (f *front) listAudit(ctx context.Context, p principal, in *listAuditIn) (*AuditPage, error) {
	if err := f.Service.Allow(p, "list audit", "*"); err != nil {
		return nil, err
	}
	list, next, err := f.Audit(ctx, in.since, in.after, in.most)
	if list == nil {
		list = []audit.Entry{}
	}
	return &AuditPage{Entries: list, NextToken: next}, err
}
