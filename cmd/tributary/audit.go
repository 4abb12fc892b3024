package main

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"

	"tributary/audit"
	"tributary/front/api"
)

type auditCmd struct {
	serverFlags
	Since  string `default:"24h" help:"Where to begin: a time like 2026-11-01T18:00:00Z, a date like 2026-11-01, whose day begins at midnight UTC, or how far back, like 90m, 24h or 7d." placeholder:"TIME"`
	Key    string `help:"Only what was done with this access key." placeholder:"AKIA…"`
	Action string `help:"Only these actions: a name such as cognito-identity:DeleteIdentityPool, or a part of one with * and ?, such as cognito-identity:*. Without a service, those of all." placeholder:"PATTERN"`
	Follow bool   `help:"Wait for more, until interrupted."`
	JSON   bool   `help:"Print JSON lines."`
}

// Help shows what to ask for.
func (*auditCmd) Help() string {
	return `Prints the time, the access key, the address, the action, its resource, how it
ended, and what was changed, or how many times the same was done. Who deleted
what in the last week, and all that a key did since a day:

  tributary audit --since 7d --action "Delete*"
  tributary audit --since 2026-11-01 --key AKIA0123456789ABCDEF`
}

// Validate refuses what cannot work.
func (c *auditCmd) Validate() error {
	if _, err := parseSince(c.Since, time.Now()); err != nil {
		return err
	}
	return c.serverFlags.Validate()
}

const day = 24 * time.Hour

// parseSince reads a time, a date, or how long before now one is.
func parseSince(text string, now time.Time) (time.Time, error) {
	at, ok := before(text, now)
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			at, ok = t, true
		}
	}
	switch {
	case !ok:
		return at, fmt.Errorf("--since is %q, it must be a time like 2026-11-01T18:00:00Z, a date like 2026-11-01, or how far back, like 90m, 24h or 7d", text)
	case at.After(now):
		return at, fmt.Errorf("--since is %q, which is still to come", text)
	case at.Before(time.Unix(0, 0)):
		return at, fmt.Errorf("--since is %q, it must be after 1970", text)
	}
	return at, nil
}

// before reads a length such as 24h or 7d, and gives the time that is so long
// before now.
func before(text string, now time.Time) (time.Time, bool) {
	if digits, ok := strings.CutSuffix(text, "d"); ok {
		days, err := strconv.ParseUint(digits, 10, 16)
		return now.Add(-time.Duration(days) * day), err == nil
	}
	length, err := time.ParseDuration(text)
	return now.Add(-length), err == nil && length >= 0
}

// Run prints the audit log, oldest first.
func (c *auditCmd) Run(e *env) error {
	const pause = time.Second
	since, err := parseSince(c.Since, time.Now())
	if err != nil {
		return err
	}
	query := url.Values{"since": {since.UTC().Format(time.RFC3339)}}
	for name, value := range map[string]string{"accessKey": c.Key, "action": c.Action} {
		if value != "" {
			query.Set(name, value)
		}
	}
	table := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	for {
		var page api.AuditPage
		if err := c.call(e.ctx, e.lookup, "GET", "audit?"+query.Encode(), nil, &page); err != nil {
			if e.ctx.Err() != nil && c.Follow {
				return nil // interrupted, as meant
			}
			return err
		}
		for i := range page.Entries {
			if err := c.print(e, table, &page.Entries[i]); err != nil {
				return err
			}
		}
		if err := table.Flush(); err != nil {
			return err
		}
		if page.NextToken != "" {
			query.Set("nextToken", page.NextToken)
		}
		if page.More || len(page.Entries) > 0 {
			continue
		}
		if !c.Follow {
			return nil
		}
		select {
		case <-e.ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (c *auditCmd) print(e *env, table *tabwriter.Writer, entry *audit.Entry) error {
	if c.JSON {
		b, err := json.Marshal(entry)
		if err == nil {
			_, err = fmt.Fprintf(e.stdout, "%s\n", b)
		}
		return err
	}
	more := strings.Join(entry.Details, "; ")
	if entry.Count > 1 {
		more = fmt.Sprintf("%d times", entry.Count)
	}
	columns := []string{entry.At.UTC().Format(time.RFC3339), entry.AccessKey, entry.Address, entry.Action, entry.Resource, entry.Outcome, more}
	for i := range columns {
		columns[i] = printable(columns[i])
	}
	_, err := fmt.Fprintln(table, strings.TrimRight(strings.Join(columns, "\t"), "\t"))
	return err
}
