package tributary

import "strings"

// Policy is an IAM policy: what its holder may do. It is of the identity-based
// kind, which names no principal. It does not change once it is read.
type Policy struct {
	statements []statement
	keys       []string // the names of all condition keys and variables in it
}

// Access is what a policy is asked about.
type Access struct {
	Action   string // such as cognito-sync:ListRecords
	Resource string // its ARN, or "*" for an action that is not on any
	// Keys are the values of condition keys and policy variables, by name, such
	// as cognito-identity.amazonaws.com:aud or aws:PrincipalTag/team. A key that
	// is not here is one that the request lacks. Names have no case, as on AWS:
	// two that differ in nothing else are not told apart.
	Keys map[string]string
}

// Verdict is what a policy says of an access. What several policies of one
// holder say together is the greatest of their verdicts.
type Verdict uint8

// The verdicts, in IAM's words.
const (
	ImplicitDeny Verdict = iota // no statement allows it
	Allowed
	ExplicitDeny // a statement denies it, whatever others say
)

func (v Verdict) String() string {
	return [...]string{"implicit deny", "allowed", "explicit deny"}[v]
}

// Decide tells what the policy says of an access. It allocates nothing where a
// policy has neither variables nor conditions, and may be called concurrently.
func (p *Policy) Decide(a *Access) Verdict {
	said := ImplicitDeny
	for i := range p.statements {
		if s := &p.statements[i]; s.effect > said && s.applies(a) {
			said = s.effect
		}
	}
	return said
}

// statement is one statement of a policy.
type statement struct {
	effect             Verdict // Allowed or ExplicitDeny
	actions, resources selection
	conditions         []condition
}

// selection is a statement's actions or resources.
type selection struct {
	patterns []pattern
	except   bool // all but these: NotAction, NotResource
}

func (s *statement) applies(a *Access) bool {
	if !s.onAction(a) || !s.onResource(a) {
		return false
	}
	for i := range s.conditions {
		if !s.conditions[i].holds(a) {
			return false
		}
	}
	return true
}

func (s *statement) onAction(a *Access) bool {
	for i := range s.actions.patterns {
		if match(s.actions.patterns[i].pieces, a.Action, true) {
			return !s.actions.except
		}
	}
	return s.actions.except
}

func (s *statement) onResource(a *Access) bool {
	unknown := false
	for i := range s.resources.patterns {
		var room [8]piece
		pieces, ok := s.resources.patterns[i].resolve(room[:0], a)
		if ok && match(pieces, a.Resource, false) {
			return !s.resources.except
		}
		unknown = unknown || !ok
	}
	// IAM has a variable without a value match no resource. To allow all but
	// nothing for that would give away what the author meant to keep, so such a
	// statement only ever denies.
	return s.resources.except && (!unknown || s.effect == ExplicitDeny)
}

// key gives the value of a condition key or variable.
func (a *Access) key(name string) (value string, present bool) {
	if value, present = a.Keys[name]; present {
		return value, true
	}
	found := ""
	for k := range a.Keys {
		// The least, so that the answer does not hang on a map's order.
		if strings.EqualFold(k, name) && (!present || k < found) {
			found, present = k, true
		}
	}
	return a.Keys[found], present
}
