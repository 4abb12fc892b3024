package tributary

import (
	"fmt"
	"strconv"
	"strings"
)

// condition is a test of one condition key.
type condition struct {
	operator
	quantifier quantifier
	ifExists   bool
	key        string
	values     []pattern
}

// operator is how a condition compares.
type operator struct {
	name      string
	negated   bool // holds if no value is equal
	wildcards bool // values may have them
	fold      bool // case is ignored
	truth     bool // values are true and false, without variables
}

// presence is the operator that asks only whether there is the key.
const presence = "Null"

// operators are those that conditions may have. One that is not here makes a
// policy invalid: what a condition was to keep out would else be let in.
var operators = [...]operator{
	{name: "StringEquals"},
	{name: "StringNotEquals", negated: true},
	{name: "StringEqualsIgnoreCase", fold: true},
	{name: "StringNotEqualsIgnoreCase", fold: true, negated: true},
	{name: "StringLike", wildcards: true},
	{name: "StringNotLike", wildcards: true, negated: true},
	{name: "Bool", fold: true, truth: true},
	{name: presence, fold: true, truth: true},
}

// quantifier is what a condition asks of a key with many values. Ours have one
// value, or none.
type quantifier uint8

const (
	unquantified quantifier = iota
	forAllValues
	forAnyValue
)

// parseOperator reads an operator with what is before and after it.
func parseOperator(text string) (condition, error) {
	var c condition
	name := text
	if rest, ok := strings.CutPrefix(name, "ForAllValues:"); ok {
		name, c.quantifier = rest, forAllValues
	} else if rest, ok := strings.CutPrefix(name, "ForAnyValue:"); ok {
		name, c.quantifier = rest, forAnyValue
	}
	name, c.ifExists = strings.CutSuffix(name, "IfExists")
	for _, o := range operators {
		if o.name == name && (name == text || name != presence) {
			c.operator = o
			return c, nil
		}
	}
	return condition{}, fmt.Errorf("%q is not an operator, it must be %s, all but the last also with ForAllValues: or ForAnyValue: before or IfExists after it", clip(text), operatorNames())
}

func operatorNames() string {
	names := make([]string, len(operators))
	for i, o := range operators {
		names[i] = o.name
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// parseValue reads a value that the operator compares with.
func (o *operator) parseValue(text string, variables bool) (pattern, error) {
	if !o.truth {
		return parsePattern(text, o.wildcards, variables)
	}
	if !strings.EqualFold(text, "true") && !strings.EqualFold(text, "false") {
		return pattern{}, fmt.Errorf("%q is not a value of %s, it must be true or false", clip(text), o.name)
	}
	return parsePattern(text, false, false)
}

// holds tells whether the condition is true of an access. Without the key it
// is true if it is negated, or is to be so IfExists; with a quantifier, whose
// question is then about no values at all, IfExists has no say.
func (c *condition) holds(a *Access) bool {
	value, present := a.key(c.key)
	switch {
	case c.name == presence:
		return c.among(strconv.FormatBool(!present), a)
	case c.quantifier == forAllValues && value == "":
		return true
	case c.quantifier == forAnyValue && value == "":
		return false
	case !present:
		return c.negated || c.ifExists
	}
	return c.among(value, a) != c.negated
}

// among tells whether a value is one of those of the condition. It is equal to
// none in which a variable has no value.
func (c *condition) among(value string, a *Access) bool {
	for i := range c.values {
		var room [8]piece
		pieces, ok := c.values[i].resolve(room[:0], a)
		if !ok {
			continue
		}
		// Characters that differ in case only may differ in length.
		if c.fold && strings.EqualFold(join(pieces), value) || !c.fold && match(pieces, value, false) {
			return true
		}
	}
	return false
}
