package tributary

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// CheckPolicy refuses a document that is to be a key's or a role's policy: what
// [ParsePolicy] refuses, actions and resources of a service of ours that a server
// of this account does not have, and condition keys and variables that its holder
// never has. Nothing would match them, and in a statement that denies that is a
// hole. A stored policy is not asked, so that what was good stays good. "" is no
// policy, which is fine.
//
// Errors: Invalid, with what is wrong and what is allowed.
func CheckPolicy(document, account string, holder Holder) error {
	if document == "" {
		return nil
	}
	p, err := ParsePolicy(document)
	if err != nil {
		return err
	}
	for i := range p.statements {
		s := &p.statements[i]
		denies := s.effect == ExplicitDeny
		err := cmp.Or(
			s.actions.check("Action", denies, checkAction),
			s.resources.check("Resource", denies, func(p *pattern, withheld bool) error { return checkResource(p, account, withheld) }),
		)
		if err != nil {
			return Errorf(Invalid, "check policy", "The policy is not valid: statement %d: %s", i+1, err)
		}
	}
	return holder.check(p)
}

// check has each pattern checked, which is told whether the statement withholds
// what it matches.
func (s *selection) check(member string, denies bool, check func(p *pattern, withheld bool) error) error {
	if s.except {
		member = "Not" + member
	}
	for i := range s.patterns {
		if err := check(&s.patterns[i], denies || s.except); err != nil {
			return fmt.Errorf("%s: %w", member, err)
		}
	}
	return nil
}

// checkAction refuses an action that its service does not have, if the service
// is one of ours. Others are other servers' affair.
func checkAction(p *pattern, withheld bool) error {
	service, name, _ := strings.Cut(p.text, ":")
	var named, near []string
	for i := range actions {
		a := &actions[i]
		known := slices.Concat(a.operations, a.others)
		if slices.ContainsFunc(known, func(name string) bool { return match(p.pieces, a.service+":"+name, true) }) {
			return nil
		}
		if !isService(service, a.service) {
			continue
		}
		named = append(named, a.service)
		if name := Nearest(name, known); name != "" {
			near = append(near, a.service+":"+name)
		}
	}
	slip := slipOf(service)
	switch {
	case foreign(service, slip, len(named), withheld):
		return nil
	case len(named) == 0:
		near = []string{slip + ":" + name}
	case len(near) == 0 && len(named) == 1:
		return fmt.Errorf("%s matches no action; those of %s are %s", clip(p.text), named[0], strings.Join(Operations(named[0]), ", "))
	case len(near) == 0:
		return fmt.Errorf("%s matches no action of %s", clip(p.text), strings.Join(named, ", "))
	}
	return fmt.Errorf("%s matches no action; did you mean %s?", clip(p.text), near[0])
}

// isService tells whether a service's name in a policy, which may have
// wildcards, is that of one of ours.
func isService(text, ours string) bool {
	p, err := parsePattern(text, true, false)
	return err == nil && match(p.pieces, ours, true)
}

// slipOf gives the service of ours that a name is a slip of, or "". Short names
// have neighbours that are services of AWS.
func slipOf(service string) string {
	const short, most = 5, 2
	i := slices.IndexFunc(resources[:], func(r resource) bool {
		return len(r.service) > short && distance(strings.ToLower(service), r.service) <= most
	})
	if i < 0 || strings.Contains(service, "*") {
		return ""
	}
	return resources[i].service
}

// foreign tells whether a service's name, which named services of ours have, can
// be meant for another server. Where it withholds, one of ours must be meant.
func foreign(service, slip string, named int, withheld bool) bool {
	return slip == "" && (named == 0 || strings.ContainsAny(service, "*?") && !withheld)
}

// resource is a service's resources, as forms of ARNs in which words in capitals
// stand for names.
type resource struct {
	service   string
	forms     []string // what calls are on
	elsewhere []string // what AWS has besides, which is other servers' affair
}

const formPartition, formAccount = "PARTITION", "ACCOUNT"

var resources = [...]resource{
	{service: "cognito-sync", forms: []string{
		"arn:PARTITION:cognito-sync:REGION:ACCOUNT:identitypool/POOL",
		"arn:PARTITION:cognito-sync:REGION:ACCOUNT:identitypool/POOL/identity/ID",
		"arn:PARTITION:cognito-sync:REGION:ACCOUNT:identitypool/POOL/identity/ID/dataset/NAME",
	}},
	{service: "cognito-identity", forms: []string{"arn:PARTITION:cognito-identity:REGION:ACCOUNT:identitypool/POOL"}},
	{service: "kinesis", forms: []string{
		"arn:PARTITION:kinesis:REGION:ACCOUNT:stream/STREAM", "arn:PARTITION:kinesis:REGION:ACCOUNT:stream/STREAM/consumer/CONSUMER:SECOND",
	}},
	{service: "iam", forms: []string{"arn:PARTITION:iam::ACCOUNT:user/KEY"}, elsewhere: []string{
		"arn:PARTITION:iam::ACCOUNT:role/PATH", "arn:PARTITION:iam::ACCOUNT:group/PATH", "arn:PARTITION:iam::ACCOUNT:policy/PATH",
		"arn:PARTITION:iam::ACCOUNT:instance-profile/PATH", "arn:PARTITION:iam::ACCOUNT:server-certificate/PATH",
		"arn:PARTITION:iam::ACCOUNT:oidc-provider/PATH", "arn:PARTITION:iam::ACCOUNT:saml-provider/PATH",
		"arn:PARTITION:iam::ACCOUNT:mfa/PATH", "arn:PARTITION:iam::ACCOUNT:sms-mfa/PATH", "arn:PARTITION:iam::ACCOUNT:access-report/PATH",
	}},
	{service: "tributary"}, // its calls are on the others' resources
}

// checkResource refuses what matches no resource that calls are on, unless
// another service may be meant.
func checkResource(p *pattern, account string, withheld bool) error {
	text, parts := p.atoms(), p.parts()
	// A * before another account could take it for a part of a dataset's name.
	const digits = "0123456789"
	other := len(parts) == arnParts && parts[owner] != "" && parts[owner] != account && strings.Trim(parts[owner], digits) == ""
	if !other && anyHas(resources[:], text, "aws", account) {
		return nil
	}
	service := serviceOf(parts)
	named := slices.DeleteFunc(slices.Clone(resources[:]), func(r resource) bool { return !isService(service, r.service) })
	slip := slipOf(service)
	nothing := func(format string, args ...any) error {
		return fmt.Errorf("%q matches nothing here: %s", clip(p.text), fmt.Sprintf(format, args...))
	}
	switch {
	case foreign(service, slip, len(named), withheld):
		return nil
	case len(named) == 0:
		return nothing("there is no service %s; did you mean %s?", service, slip)
	case anyHas(named, text, formPartition, formAccount):
		if other || !anyHas(named, text, formPartition, account) {
			return nothing("%s this server's, %s (serve --account), or *", accountOf(parts), account)
		}
		return nothing("its partition is %q, it must be aws", clip(parts[1]))
	case slices.ContainsFunc(named, func(r resource) bool { return has(r.elsewhere, text, formPartition, formAccount) }):
		return nil
	}
	return nothing("it must be %s", formsOf(named))
}

const owner = 4 // the part of an ARN that names the account

// accountOf says what the account is, where an ARN is long enough to tell, and
// goes on to what it must be.
func accountOf(parts []string) string {
	if len(parts) < arnParts {
		return "its account must be"
	}
	return fmt.Sprintf("its account is %q, it must be", clip(parts[owner]))
}

// anyHas tells whether a text may be the ARN of one of the resources.
func anyHas(all []resource, text []atom, partition, account string) bool {
	return slices.ContainsFunc(all, func(r resource) bool { return has(r.forms, text, partition, account) })
}

// has tells whether a text may be of one of the forms, in a partition and an
// account.
func has(forms []string, text []atom, partition, account string) bool {
	fill := strings.NewReplacer(formPartition, partition, formAccount, account)
	return slices.ContainsFunc(forms, func(form string) bool { return overlap(text, formAtoms(fill.Replace(form))) })
}

// formsOf lists what a resource must be, for people.
func formsOf(named []resource) string {
	var all []string
	for i := range named {
		for _, form := range named[i].forms {
			all = append(all, strings.Replace(form, formPartition, "aws", 1))
		}
	}
	if all == nil {
		return "that of a pool in cognito-sync, that of an access key in iam, or *"
	}
	return strings.Join(all, " or ")
}

// parts are those of an ARN, up to as many as it has. In them a * stands for a
// variable too.
func (p *pattern) parts() []string {
	var b strings.Builder
	for i := range p.pieces {
		switch part := &p.pieces[i]; part.kind {
		case literal:
			b.WriteString(part.text)
		case anyOne:
			b.WriteByte('?')
		default:
			b.WriteByte('*')
		}
	}
	return strings.SplitN(b.String(), ":", arnParts)
}

// serviceOf is the part that names the service: * if another * may be it too.
func serviceOf(parts []string) string {
	const service = 2
	if len(parts) <= service || len(parts) < arnParts && strings.Contains(strings.Join(parts[:service], ""), "*") {
		return "*"
	}
	return parts[service]
}
