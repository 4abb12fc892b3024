package tributary

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// noteChanges notes which settings of a pool or a stream a call changed, and to
// what.
func (c *Call) noteChanges(before, after interface{ settings() map[string]string }) {
	if c == nil {
		return
	}
	old, now := before.settings(), after.settings()
	names := maps.Clone(old)
	maps.Copy(names, now)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if now[name] != old[name] {
			c.Detail(name, now[name])
		}
	}
}

// settings are texts of what people set of a pool, by the names of its fields. What
// is not set is not there.
func (p *Pool) settings() map[string]string {
	l, s := p.Limits.Effective(), settings{}
	s["Name"], s["DeveloperProvider"] = p.Name, p.DeveloperProvider
	s["AllowUnauthenticated"], s["Deleted"] = strconv.FormatBool(p.AllowUnauthenticated), strconv.FormatBool(p.Deleted)
	if p.AllowClassicFlow != nil {
		s["AllowClassicFlow"] = strconv.FormatBool(*p.AllowClassicFlow)
	}
	s.list("OpenIDProviders", p.OpenIDProviders)
	s.list("SAMLProviders", p.SAMLProviders)
	for arn, clients := range p.OpenIDClients {
		s.list("OpenIDClients["+arn+"]", clients)
	}
	for _, c := range p.CognitoProviders {
		check := c.ServerSideTokenCheck != nil && *c.ServerSideTokenCheck
		s["CognitoProviders["+c.Name+":"+c.ClientID+"]"] = fmt.Sprintf("ServerSideTokenCheck %t", check)
	}
	s.texts("LoginProviders", p.LoginProviders)
	for _, provider := range []string{"api.twitter.com", "www.digits.com"} { // AWS has a consumer key there, and its secret
		if key, secret, _ := strings.Cut(p.LoginProviders[provider], ";"); secret != "" {
			s["LoginProviders["+provider+"]"] = strconv.Quote(key) + " and a secret"
		}
	}
	s.texts("Tags", p.Tags)
	s.texts("Events", p.Events)
	s.roles(&p.Roles)
	for provider, m := range p.PrincipalTags {
		s["PrincipalTags["+provider+"]"] = fmt.Sprintf("UseDefaults %t, %s", m.UseDefaults, equations(m.Tags))
	}
	s["Stream.Name"], s["Stream.RoleARN"], s["Stream.Enabled"] = string(p.Stream.Name), p.Stream.RoleARN, strconv.FormatBool(p.Stream.Enabled)
	s.list("Push.ApplicationARNs", p.Push.ApplicationARNs)
	s["Push.RoleARN"] = p.Push.RoleARN
	for name, n := range map[string]int64{"ValueBytes": l.ValueBytes, "DatasetBytes": l.DatasetBytes, "Records": l.Records, "Datasets": l.Datasets} {
		s["Limits."+name] = strconv.FormatInt(n, 10)
	}
	return s
}

// settings are texts of what people set of a stream.
func (s *Stream) settings() map[string]string {
	out := settings{}
	open := make([]string, 0, len(s.Shards))
	for i := range s.Shards {
		if !s.Shards[i].Closed {
			open = append(open, strconv.FormatUint(uint64(s.Shards[i].Number), 10))
		}
	}
	out.list("Shards", open)
	out["Retention"], out["MaxRecord"] = s.Retention.String(), strconv.FormatInt(int64(s.MaxRecord), 10)
	out.texts("Tags", s.Tags)
	for i := range s.Consumers {
		c := &s.Consumers[i]
		out["Consumers["+c.Name+"]"] = "tags " + equations(c.Tags)
	}
	return out
}

// settings are texts by name.
type settings map[string]string

func (s settings) list(name string, values []string) { s[name] = strings.Join(values, ", ") }

func (s settings) texts(name string, values map[string]string) {
	for k, v := range values {
		s[name+"["+k+"]"] = strconv.Quote(v)
	}
}

func (s settings) roles(r *Roles) {
	s["Roles.Authenticated"], s["Roles.Unauthenticated"] = r.Authenticated, r.Unauthenticated
	for provider, m := range r.Mappings {
		s["Roles.Mappings["+provider+"]"] = m.text()
	}
	for arn, document := range r.Policies {
		s["Roles.Policies["+arn+"]"] = document
	}
}

// text is a mapping as one reads it.
func (m *RoleMapping) text() string {
	rules := make([]string, 0, len(m.Rules)+2)
	if m.Rules == nil {
		rules = append(rules, "by the token")
	}
	for _, r := range m.Rules {
		rules = append(rules, fmt.Sprintf("%s %s %q gives %s", r.Claim, r.Match, r.Value, r.RoleARN))
	}
	otherwise := "else Authenticated"
	if m.DenyAmbiguous {
		otherwise = "else none"
	}
	return strings.Join(append(rules, otherwise), ", ")
}

// equations are the entries of a map, in order.
func equations(m map[string]string) string {
	list := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, k+"="+m[k])
	}
	return strings.Join(list, " ")
}
