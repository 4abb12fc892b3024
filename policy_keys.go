package tributary

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Holder is who can have a policy.
type Holder uint8

// The holders of policies.
const (
	HeldByKey  Holder = 1 << iota // a developer's access key
	HeldByRole                    // a role of identities
)

func (h Holder) String() string {
	return map[Holder]string{HeldByKey: "an access key", HeldByRole: "a role"}[h]
}

// conditionKey is a name that conditions and variables can have here.
type conditionKey struct {
	name    string // if it ends in a slash, more comes after it
	kinds   valueKind
	holders Holder // of the policies in which it has a value
	// value works the value out, if the call has one; rest is what comes after the
	// slash. (A pointer would put the principals of all calls on the heap.)
	value func(s *Service, p Principal, rest string) (string, bool)
}

// conditionKeys are all that there are, as in AWS's list of global condition
// keys and Cognito Identity's own.
var conditionKeys = [...]conditionKey{
	{"aws:CurrentTime", aTime, HeldByKey | HeldByRole, func(s *Service, _ Principal, _ string) (string, bool) {
		return s.now().UTC().Format(time.RFC3339), true
	}},
	{"aws:EpochTime", aTime | aNumber, HeldByKey | HeldByRole, func(s *Service, _ Principal, _ string) (string, bool) {
		return strconv.FormatInt(s.now().Unix(), 10), true
	}},
	{"aws:SecureTransport", aTruth, HeldByKey | HeldByRole, ofRequest(func(r Request) string { return strconv.FormatBool(r.Secure()) })},
	{"aws:SourceIp", anAddress, HeldByKey | HeldByRole, ofRequest(func(r Request) string {
		if a := r.Client(); a.IsValid() {
			return a.String()
		}
		return ""
	})},
	{"aws:UserAgent", aText, HeldByKey | HeldByRole, ofRequest(func(r Request) string { return r.Header("User-Agent") })},
	{"aws:Referer", aText, HeldByKey | HeldByRole, ofRequest(func(r Request) string { return r.Header("Referer") })},
	{"aws:PrincipalAccount", aText, HeldByKey | HeldByRole, ofCaller(func(c *Caller) string { return c.Account })},
	{"aws:userid", aText, HeldByKey | HeldByRole, ofCaller(func(c *Caller) string { return c.UserID })},
	{"aws:PrincipalArn", aText | anARN, HeldByKey | HeldByRole, func(s *Service, p Principal, _ string) (string, bool) {
		if p.Developer() {
			return s.Caller(p).ARN, true
		}
		return p.Session.Role, p.Session.Role != "" // IAM gives the role's, not the session's
	}},
	{"aws:username", aText, HeldByKey, func(_ *Service, p Principal, _ string) (string, bool) {
		return p.AccessKey, p.Developer()
	}},
	{"aws:PrincipalTag/", anything, HeldByRole, func(_ *Service, p Principal, name string) (string, bool) {
		if p.Session == nil {
			return "", false
		}
		tags := Access{Keys: p.Session.Tags}
		return tags.key(name)
	}},
	{"cognito-identity.amazonaws.com:aud", aText, HeldByRole, func(_ *Service, p Principal, _ string) (string, bool) {
		return string(p.Pool), !p.Developer()
	}},
	{"cognito-identity.amazonaws.com:sub", aText, HeldByRole, func(_ *Service, p Principal, _ string) (string, bool) {
		return string(p.Identity), !p.Developer()
	}},
}

func ofRequest(value func(Request) string) func(*Service, Principal, string) (string, bool) {
	return func(_ *Service, p Principal, _ string) (string, bool) {
		if p.Call.Request == nil {
			return "", false
		}
		v := value(p.Call.Request)
		return v, v != ""
	}
}

func ofCaller(value func(*Caller) string) func(*Service, Principal, string) (string, bool) {
	return func(s *Service, p Principal, _ string) (string, bool) {
		c := s.Caller(p)
		return value(&c), true
	}
}

// findConditionKey gives the key of a name and what comes after its slash, nil
// if there is none.
func findConditionKey(name string) (k *conditionKey, rest string) {
	for i := range conditionKeys {
		k := &conditionKeys[i]
		n := len(k.name)
		open := strings.HasSuffix(k.name, "/")
		if len(name) >= n && strings.EqualFold(name[:n], k.name) && (len(name) > n) == open {
			return k, name[n:]
		}
	}
	return nil, ""
}

// fillKeys puts the values of the keys that a policy names where it looks for them.
func (s *Service) fillKeys(keys map[string]string, p *Principal, policy *Policy) {
	for _, name := range policy.keys {
		if k, rest := findConditionKey(name); k != nil {
			if v, ok := k.value(s, *p, rest); ok {
				keys[name] = v
			}
		}
	}
}

// check refuses keys and variables that the holder never has, and keys that are
// compared with what they never are, in statements that are about us: what is
// said of other services is other servers' affair.
func (h Holder) check(p *Policy) error {
	for i := range p.statements {
		s := &p.statements[i]
		if !s.ours() {
			continue
		}
		if err := cmp.Or(h.checkKeys(s), s.checkOperators()); err != nil {
			return Errorf(Invalid, "check policy", "The policy is not valid: statement %d: %s", i+1, err)
		}
	}
	return nil
}

func (h Holder) checkKeys(s *statement) (err error) {
	s.eachKey(func(place, name string) {
		if k, _ := findConditionKey(name); err == nil && (k == nil || k.holders&h == 0) {
			err = fmt.Errorf("%s: %w", place, h.lacks(name))
		}
	})
	return err
}

func (s *statement) checkOperators() error {
	for i := range s.conditions {
		c := &s.conditions[i]
		if k, _ := findConditionKey(c.key); k != nil && c.name != presence && c.kind&k.kinds == 0 {
			return fmt.Errorf("Condition: %s: %s cannot be compared so, it must be with %s", c.as, clip(c.key), operatorNames(k.kinds))
		}
	}
	return nil
}

// lacks says what there is instead.
func (h Holder) lacks(name string) error {
	var known []string
	for i := range conditionKeys {
		if k := &conditionKeys[i]; k.holders&h != 0 {
			known = append(known, k.name)
		}
	}
	named := strings.NewReplacer("/", "/NAME")
	hint := ""
	if near := Nearest(name, known); near != "" {
		hint = fmt.Sprintf(" (did you mean %s?)", named.Replace(near))
	}
	return fmt.Errorf("a call by %s never has %s%s, it can have %s", h, clip(name), hint, named.Replace(strings.Join(known, ", ")))
}

// ours tells whether the statement can be about an action of ours.
func (s *statement) ours() bool {
	for i := range actions {
		a := &actions[i]
		if slices.ContainsFunc(slices.Concat(a.operations, a.others), func(name string) bool {
			return s.onAction(&Access{Action: a.service + ":" + name})
		}) {
			return true
		}
	}
	return false
}

// eachKey visits the names of all condition keys and variables, with the place
// that each has in the statement.
func (s *statement) eachKey(visit func(place, name string)) {
	resource := "Resource"
	if s.resources.except {
		resource = "NotResource"
	}
	for i := range s.resources.patterns {
		s.resources.patterns[i].eachVariable(func(name string) { visit(resource, name) })
	}
	for i := range s.conditions {
		c := &s.conditions[i]
		visit("Condition: "+c.as, c.key)
		for j := range c.values {
			c.values[j].eachVariable(func(name string) { visit("Condition: "+c.as+": "+clip(c.key), name) })
		}
	}
}

func (p *pattern) eachVariable(visit func(name string)) {
	for i := range p.pieces {
		if p.pieces[i].kind == aVariable {
			visit(p.pieces[i].text)
		}
	}
}
