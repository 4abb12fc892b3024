package storetest

import (
	"crypto/md5"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tributary"
)

// The texts of values, equal iff a store may not tell the values apart: an
// empty slice is no slice. They are what histories are made of.

func short(s string) string {
	const most = 40
	if len(s) <= most {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q+%d:%x", s[:8], len(s), md5.Sum([]byte(s)))
}

func recordText(r *tributary.Record) string {
	value := short(r.Value)
	if r.Removed {
		value = "removed" + r.Value
	}
	return fmt.Sprintf("%s=%s n%d at %d by %s device %d", short(r.Key), value, r.SyncCount,
		r.LastModified-epoch, short(r.LastModifiedBy), r.DeviceLastModified-epoch)
}

func recordsText(list []tributary.Record) string { return texts(list, recordText) }

func headText(d *tributary.Dataset) string {
	if *d == (tributary.Dataset{Key: d.Key}) {
		return fmt.Sprintf("%s never written", d.Key)
	}
	return fmt.Sprintf("%s exists=%t n%d change %x marker %d floor %d origin %q created %d modified %d by %s records %d tombstones %d of %d bytes %d",
		d.Key, d.Exists, d.SyncCount, d.Change, d.Marker, d.Floor, d.Origin, d.Created, d.LastModified, short(d.LastModifiedBy),
		d.Records, d.Tombstones, d.TombstoneBytes, d.Bytes)
}

func changeText(c *tributary.Change) string {
	return fmt.Sprintf("change %x of %s %s n%d at %d by %s bytes %+d\n%s", c.ID, c.Key, c.Op, c.SyncCount,
		c.At-epoch, short(c.By), c.PoolBytes, recordsText(c.Records))
}

// entryText leaves out position and arrival.
func entryText(e *tributary.Entry) string {
	switch {
	case e.Kind == tributary.EntryForeign && e.Foreign != nil && e.Change == nil:
		return fmt.Sprintf("foreign %s %s %s", short(e.Foreign.PartitionKey), e.Foreign.HashKey, short(string(e.Foreign.Data)))
	case e.Kind == tributary.EntrySnapshot && e.Change != nil && e.Foreign == nil:
		return "snapshot " + changeText(e.Change)
	case e.Kind == tributary.EntryChange && e.Change != nil && e.Foreign == nil:
		return changeText(e.Change)
	}
	return fmt.Sprintf("malformed %+v", *e)
}

// storedChange is the text of an entry that the log makes of a commit.
func storedChange(c *tributary.Change) string {
	return entryText(&tributary.Entry{Kind: tributary.EntryChange, Change: c})
}

func poolText(p *tributary.Pool) string {
	var providers []string
	for _, c := range p.CognitoProviders {
		providers = append(providers, fmt.Sprintf("%q %q %s", c.Name, c.ClientID, boolText(c.ServerSideTokenCheck)))
	}
	return fmt.Sprintf("%s r%d %q guests=%t classic=%s logins %s developer %q openid %q %q saml %q cognito %q tags %s stream %s push %q %q limits %v created %d deleted %t roles %v tags %v",
		p.ID, p.Revision, p.Name, p.AllowUnauthenticated, boolText(p.AllowClassicFlow), mapText(p.LoginProviders),
		p.DeveloperProvider, p.OpenIDProviders, p.OpenIDClients, p.SAMLProviders, providers, mapText(p.Tags),
		configText(&p.Stream), p.Push.ApplicationARNs, p.Push.RoleARN, p.Limits, p.Created-epoch, p.Deleted, p.Roles, p.PrincipalTags)
}

// configText leaves out the stream's id, which differs from store to store.
func configText(c *tributary.StreamConfig) string {
	return fmt.Sprintf("%q role %q enabled %t disabled %q", c.Name, c.RoleARN, c.Enabled, c.DisabledReason)
}

func boolText(b *bool) string {
	if b == nil {
		return "unsaid"
	}
	return fmt.Sprint(*b)
}

func mapText(m map[string]string) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, fmt.Sprintf("%q:%q", k, m[k]))
	}
	return "{" + strings.Join(list, " ") + "}"
}

func usageText(u *tributary.Usage) string {
	modified := "never"
	if u.LastModified != 0 {
		modified = fmt.Sprint(u.LastModified - epoch)
	}
	return fmt.Sprintf("%d bytes %d sessions modified %s", u.Bytes, u.Sessions, modified)
}

func identityText(i *tributary.Identity) string {
	return fmt.Sprintf("%s of %s r%d logins %q disabled %t merged %t into %q unfinished %t created %d modified %d datasets %d usage %s",
		i.ID, i.Pool, i.Revision, i.Logins, i.Disabled, i.Merged, i.MergedInto, i.Unfinished, i.Created-epoch, i.Modified-epoch, i.Datasets, usageText(&i.Usage))
}

// streamText leaves out the id; last positions are counts.
func streamText(s *tributary.Stream) string {
	var shards []string
	for _, r := range s.Shards {
		last := "none"
		if r.Last != "" {
			shard, n, err := r.Last.Split()
			last = fmt.Sprintf("%d#%d %v", shard.Number, n, err)
		}
		shards = append(shards, fmt.Sprintf("%d of %v %s-%s closed=%t last %s", r.Number, r.Parents, r.Start, r.End, r.Closed, last))
	}
	return fmt.Sprintf("%q r%d %s retention %s created %d shards %s", s.Name, s.Revision, s.Kind, s.Retention,
		s.Created-epoch, strings.Join(shards, "; "))
}

func viewText(v *tributary.View) string {
	return fmt.Sprintf("%s\n%s\n%s\n%s", poolText(&v.Pool), identityText(&v.Identity), headText(&v.Dataset), recordsText(v.Records))
}

func deviceText(d *tributary.Device) string {
	return fmt.Sprintf("%s of %s r%d %s token %q endpoint %q datasets %q created %d", short(string(d.ID)), d.Identity, d.Revision, d.Platform, d.Token, d.Endpoint, d.Datasets, d.Created-epoch)
}

func accessKeyText(a *tributary.AccessKey) string {
	return fmt.Sprintf("%q r%d sealed %q created %d disabled %t name %q policy %q until %d", a.ID, a.Revision, a.Sealed, a.Created-epoch, a.Disabled, a.Name, a.Policy, a.Until)
}
