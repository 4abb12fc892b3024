package main

import (
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"tributary"
	"tributary/audit"
	"tributary/front/api"
	"tributary/front/cognitoidentity"
	"tributary/front/cognitosync"
	"tributary/front/kinesisapi"
	"tributary/front/sts"
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
	return `Prints the time, how it ended, the access key and its name, the address, the
action, its resource, and what was changed, or how many times the same was done.
Details that are long are cut; --json has all. Who deleted what in the last week,
and all that a key did since a day:

  tributary audit --since 7d --action "Delete*"
  tributary audit --since 2026-11-01 --key AKIA0123456789ABCDEF`
}

// Validate refuses what cannot work.
func (c *auditCmd) Validate() error {
	if _, err := parseSince(c.Since, time.Now()); err != nil {
		return err
	}
	if c.Action != "" {
		if err := c.checkAction(); err != nil {
			return err
		}
	}
	return c.serverFlags.Validate()
}

// parseSince reads a time, a date, or how long before now one is.
func parseSince(text string, now time.Time) (time.Time, error) {
	length, ok := parseDuration(text)
	at := now.Add(-length)
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

// checkAction refuses a pattern that no operation has: nothing would be found, as
// if nothing had happened.
func (c *auditCmd) checkAction() error {
	var known []string
	asked := audit.Query{Action: c.Action}
	for _, service := range []string{cognitosync.Name, cognitoidentity.Name, kinesisapi.Name, sts.Name, api.Name} {
		for _, operation := range tributary.Operations(service) {
			name := service + ":" + operation
			if asked.Selects(name) {
				return nil
			}
			if !strings.Contains(c.Action, ":") {
				name = operation
			}
			known = append(known, begins(name)...)
		}
	}
	return fmt.Errorf("--action is %q, which no operation is named%s; it must be a name such as cognito-identity:DeleteIdentityPool, cognito-identity:Delete* or DeleteIdentityPool", c.Action, didYouMean(c.Action, known, "%s"))
}

// begins gives a name, and the patterns of what begins with its first words:
// DeleteDataset and Delete*.
func begins(name string) []string {
	out := []string{name}
	for i, r := range name {
		if i > 0 && unicode.IsUpper(r) {
			out = append(out, name[:i]+"*")
		}
	}
	return out
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
	out := auditPrinter{auditCmd: c, env: e}
	for looked := 0; ; {
		var page api.AuditPage
		if err := c.call(e.ctx, e.lookup, "GET", "audit?"+query.Encode(), nil, &page); err != nil {
			if e.ctx.Err() != nil && c.Follow {
				return nil // interrupted, as meant
			}
			return err
		}
		if err := out.print(page.Entries); err != nil {
			return err
		}
		looked += page.Looked
		if page.NextToken != "" {
			query.Set("nextToken", page.NextToken)
		}
		if page.More || len(page.Entries) > 0 {
			continue
		}
		if !c.Follow {
			if !out.began {
				_, _ = fmt.Fprintf(e.stderr, "no entries of %d looked at since %s\n", looked, query.Get("since"))
			}
			return nil
		}
		select {
		case <-e.ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// auditPrinter prints entries as JSON lines, or as a table.
type auditPrinter struct {
	*auditCmd
	*env
	began bool
	names map[string]string // of access keys, by id
}

func (p *auditPrinter) print(entries []audit.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	began := p.began
	p.began = true
	if p.JSON {
		return p.printLines(entries)
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	if !began {
		p.findNames()
		_, _ = fmt.Fprintln(table, "time\toutcome\taccess key\tname\taddress\taction\tresource\tdetails")
	}
	for i := range entries {
		_, _ = fmt.Fprintln(table, strings.Join(p.row(&entries[i]), "\t")) // the table keeps its first error
	}
	return table.Flush()
}

func (p *auditPrinter) printLines(entries []audit.Entry) error {
	for i := range entries {
		if err := printLine(p.env, &entries[i]); err != nil {
			return err
		}
	}
	return nil
}

// findNames finds the names of the access keys. Who may not list them sees their
// ids only.
func (p *auditPrinter) findNames() {
	p.names = map[string]string{}
	all, err := (&remoteKeys{&p.serverFlags, p.lookup}).Keys(p.ctx)
	if err != nil {
		return
	}
	for i := range all {
		p.names[all[i].ID] = all[i].Name
	}
}

// row is an entry in the table. The outcome comes early, as what is on the right
// of the screen is not seen.
func (p *auditPrinter) row(entry *audit.Entry) []string {
	const mostName, mostDetails = 30, 120
	more := strings.Join(entry.Details, "; ")
	if entry.Count > 1 {
		more = fmt.Sprintf("%d times", entry.Count)
	}
	columns := []string{entry.At.UTC().Format(time.RFC3339), entry.Outcome, entry.AccessKey, shorten(p.names[entry.AccessKey], mostName), entry.Address, entry.Action, entry.Resource, shorten(more, mostDetails)}
	for i := range columns {
		columns[i] = printable(columns[i])
	}
	return columns
}
