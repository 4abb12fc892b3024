package main

import (
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"

	"tributary/audit"
	"tributary/front/api"
)

type auditCmd struct {
	serverFlags
	Since  time.Duration `default:"24h" help:"How far back to begin." placeholder:"DURATION"`
	Follow bool          `help:"Wait for more, until interrupted."`
	JSON   bool          `help:"Print JSON lines."`
}

// Run prints the audit log, oldest first.
func (c *auditCmd) Run(e *env) error {
	const pause = time.Second
	query := url.Values{"since": {time.Now().Add(-c.Since).UTC().Format(time.RFC3339)}}
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
		if len(page.Entries) > 0 {
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
	times := ""
	if entry.Count > 1 {
		times = fmt.Sprintf("%d times", entry.Count)
	}
	_, err := fmt.Fprintln(table, strings.TrimRight(strings.Join([]string{
		entry.At.UTC().Format(time.RFC3339), entry.AccessKey, entry.Address, entry.Action, entry.Resource, entry.Outcome, times}, "\t"), "\t"))
	return err
}
