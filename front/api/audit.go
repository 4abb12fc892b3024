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
type listAuditIn struct{ audit.Query }

func (in *listAuditIn) Bind(p awswire.Params) (err error) {
	const op = "list audit"
	in.After, _ = p.Query("nextToken")
	in.AccessKey, _ = p.Query("accessKey")
	in.Action, _ = p.Query("action")
	in.Limit = auditPage
	if text, given := p.Query("maxResults"); given {
		if in.Limit, err = strconv.Atoi(text); err != nil || in.Limit < 1 || in.Limit > mostAuditPage {
			return tributary.Errorf(tributary.Invalid, op, "maxResults is %q, it must be a number from 1 to %d", text, mostAuditPage)
		}
	}
	if text, given := p.Query("since"); given {
		if in.Since, err = time.Parse(time.RFC3339, text); err != nil || in.Since.UnixMilli() < 0 {
			return tributary.Errorf(tributary.Invalid, op, "since is %q, it must be a time like 2026-11-23T18:00:00Z", text)
		}
	}
	return nil
}

// AuditPage is a page of the audit log, oldest first. NextToken goes on after it,
// also with what comes later. It may have few entries, or none, although there
// are More.
type AuditPage struct {
	Entries   []audit.Entry
	NextToken string `json:",omitzero"`
	More      bool
	// Looked is how many entries of the log it looked at.
	Looked int `json:",omitzero"`
}

func (f *front) listAudit(ctx context.Context, p principal, in *listAuditIn) (*AuditPage, error) {
	if err := f.Service.Allow(p, "list audit", "*"); err != nil {
		return nil, err
	}
	page, err := f.Audit(ctx, in.Query)
	if err != nil {
		return nil, err
	}
	return &AuditPage{Entries: append([]audit.Entry{}, page.Entries...), NextToken: page.Next, More: page.More, Looked: page.Looked}, nil
}
