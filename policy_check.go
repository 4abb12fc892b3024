package tributary

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// CheckPolicy refuses a document that is to be a key's or a role's policy: what
// [ParsePolicy] refuses, and actions and resources of a service of ours that a
// server of this account does not have. Nothing would match them, and in a
// statement that denies that is a hole. A stored policy is not asked, so that
// what was good stays good. "" is no policy, which is fine.
//
// Errors: Invalid, with what is wrong and what is allowed.
func CheckPolicy(document, account string) error {
	if document == "" {
		return nil
	}
	p, err := ParsePolicy(document)
	if err != nil {
		return err
	}
	for i := range p.statements {
		s := &p.statements[i]
		err := cmp.Or(
			s.actions.check("Action", checkAction),
			s.resources.check("Resource", func(p *pattern) error { return checkResource(p, account) }),
		)
		if err != nil {
			return Errorf(Invalid, "check policy", "The policy is not valid: statement %d: %s", i+1, err)
		}
	}
	return nil
}

func (s *selection) check(member string, check func(*pattern) error) error {
	if s.except {
		member = "Not" + member
	}
	for i := range s.patterns {
		if err := check(&s.patterns[i]); err != nil {
			return fmt.Errorf("%s: %w", member, err)
		}
	}
	return nil
}

// checkAction refuses an action that its service does not have, if the service
// is one of ours. Others are other servers' affair.
func checkAction(p *pattern) error {
	service, name, _ := strings.Cut(p.text, ":")
	for i := range actions {
		a := &actions[i]
		if !strings.EqualFold(a.service, service) {
			continue
		}
		known := slices.Concat(a.operations, a.others)
		if slices.ContainsFunc(known, func(name string) bool { return match(p.pieces, a.service+":"+name, true) }) {
			return nil
		}
		if near := Nearest(name, known); near != "" {
			return fmt.Errorf("%s matches no action; did you mean %s:%s?", clip(p.text), a.service, near)
		}
		return fmt.Errorf("%s matches no action; those of %s are %s", clip(p.text), a.service, strings.Join(a.operations, ", "))
	}
	return nil
}

// resources are what calls are on, as the ends of ARNs.
var resources = [...]struct{ service, begins, example string }{
	{"cognito-sync", "identitypool/", "arn:aws:cognito-sync:REGION:ACCOUNT:identitypool/POOL, below it /identity/ID/dataset/NAME"},
	{"cognito-identity", "identitypool/", "arn:aws:cognito-identity:REGION:ACCOUNT:identitypool/POOL"},
	{"kinesis", "stream/", "arn:aws:kinesis:REGION:ACCOUNT:stream/NAME"},
	{"iam", "user/", "arn:aws:iam::ACCOUNT:user/KEY"},
	{"tributary", "", "that of a pool in cognito-sync, that of an access key in iam, or *"},
}

// checkResource refuses an ARN of one of our services that none of our
// resources has.
func checkResource(p *pattern, account string) error {
	const partition, service, region, owner, resource = 1, 2, 3, 4, 5
	parts := append(strings.SplitN(p.loose(), ":", arnParts), slices.Repeat([]string{"*"}, arnParts)...) // what it is short of, a * stands for
	open := func(part int) bool { return strings.Contains(parts[part], "*") }
	for i := range resources {
		r := &resources[i]
		if !strings.EqualFold(r.service, parts[service]) {
			continue
		}
		begins := couldBegin(parts[resource], r.begins)
		switch {
		case r.service == "iam" && !begins: // roles and the like, which are other servers' affair
			return nil
		case !open(partition) && parts[partition] != "aws":
			return fmt.Errorf("%q matches nothing here: its partition is %q, it must be aws", clip(p.text), clip(parts[partition]))
		case !open(owner) && parts[owner] != account && r.begins != "":
			return fmt.Errorf("%q matches nothing here: its account is %q, it must be this server's, %s (serve --account), or *", clip(p.text), clip(parts[owner]), account)
		case r.begins == "" || !begins || parts[service] != r.service || !open(region) && (parts[region] == "") != (r.service == "iam"):
			return fmt.Errorf("%q matches nothing here: it must be %s", clip(p.text), r.example)
		}
		return nil
	}
	return nil
}

// couldBegin tells whether a text that matches the pattern, in which every
// wildcard is a *, can begin so and go on.
func couldBegin(pattern, begin string) bool {
	head, _, open := strings.Cut(pattern, "*")
	return strings.HasPrefix(head, begin) && (open || head != begin) || open && strings.HasPrefix(begin, head)
}

// loose is the pattern's text with a * for whatever is not literal.
func (p *pattern) loose() string {
	var b strings.Builder
	for i := range p.pieces {
		if part := &p.pieces[i]; part.kind == literal {
			b.WriteString(part.text)
		} else {
			b.WriteByte('*')
		}
	}
	return b.String()
}
