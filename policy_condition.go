package tributary

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// condition is a test of one condition key.
type condition struct {
	operator
	quantifier quantifier
	ifExists   bool
	as         string // the operator with these, as it was written
	key        string
	values     []value
}

// value is what a condition compares with.
type value struct {
	pattern              // of a text
	network netip.Prefix // of an address
	number  float64      // of a number; of a time, in seconds since 1970
}

// operator is how a condition compares.
type operator struct {
	name      string
	kind      valueKind
	negated   bool // holds if no value is equal
	wildcards bool // values may have them
	fold      bool // case is ignored
	// least and most bound how a number or time lies to a value: -1 is below it,
	// 0 the same, 1 above.
	least, most int
}

// valueKind is what kind of values an operator compares; of a condition key,
// the set of those that its value can be taken for.
type valueKind uint8

const (
	aText valueKind = 1 << iota
	anARN
	// Those from here on have no variables.
	aTruth
	aNumber
	aTime
	anAddress
	anything = aText | anARN | aTruth | aNumber | aTime | anAddress
)

// presence is the operator that asks only whether there is the key.
const presence = "Null"

// operators are those that conditions may have. One that is not here makes a
// policy invalid: what a condition was to keep out would else be let in.
var operators = [...]operator{
	{name: "StringEquals", kind: aText},
	{name: "StringNotEquals", kind: aText, negated: true},
	{name: "StringEqualsIgnoreCase", kind: aText, fold: true},
	{name: "StringNotEqualsIgnoreCase", kind: aText, fold: true, negated: true},
	{name: "StringLike", kind: aText, wildcards: true},
	{name: "StringNotLike", kind: aText, wildcards: true, negated: true},
	{name: "ArnEquals", kind: anARN, wildcards: true},
	{name: "ArnLike", kind: anARN, wildcards: true},
	{name: "ArnNotEquals", kind: anARN, wildcards: true, negated: true},
	{name: "ArnNotLike", kind: anARN, wildcards: true, negated: true},
	{name: "NumericEquals", kind: aNumber},
	{name: "NumericNotEquals", kind: aNumber, negated: true},
	{name: "NumericLessThan", kind: aNumber, least: -1, most: -1},
	{name: "NumericLessThanEquals", kind: aNumber, least: -1},
	{name: "NumericGreaterThan", kind: aNumber, least: 1, most: 1},
	{name: "NumericGreaterThanEquals", kind: aNumber, most: 1},
	{name: "DateEquals", kind: aTime},
	{name: "DateNotEquals", kind: aTime, negated: true},
	{name: "DateLessThan", kind: aTime, least: -1, most: -1},
	{name: "DateLessThanEquals", kind: aTime, least: -1},
	{name: "DateGreaterThan", kind: aTime, least: 1, most: 1},
	{name: "DateGreaterThanEquals", kind: aTime, most: 1},
	{name: "IpAddress", kind: anAddress},
	{name: "NotIpAddress", kind: anAddress, negated: true},
	{name: "Bool", kind: aTruth, fold: true},
	{name: presence, kind: aTruth, fold: true},
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
	c := condition{as: text}
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
	return condition{}, fmt.Errorf("%q is not an operator, it must be %s, all but the last also with ForAllValues: or ForAnyValue: before or IfExists after it", clip(text), operatorNames(anything))
}

// operatorNames lists the operators for values of some kinds, and the one that
// is for all.
func operatorNames(of valueKind) string {
	var names []string
	for _, o := range operators {
		if o.kind&of != 0 || o.name == presence {
			names = append(names, o.name)
		}
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// parseValue reads a value that the operator compares with.
func (o *operator) parseValue(text string, variables bool) (v value, err error) {
	ok, rule := true, ""
	switch o.kind {
	case aText:
		v.pattern, err = parsePattern(text, o.wildcards, variables)
	case anARN:
		v.pattern, err = parseResource(text, variables)
	case aTruth:
		ok, rule = strings.EqualFold(text, "true") || strings.EqualFold(text, "false"), "true or false"
		v.pattern = pattern{text: text, pieces: []piece{{text: text}}}
	case aNumber:
		v.number, ok = parseNumber(text)
		rule = "a number, such as 10 or -2.5"
	case aTime:
		v.number, ok = parseTime(text)
		rule = "a time such as 2026-11-23T19:36:33Z, a day such as 2026-11-23, which is its start in UTC, or seconds since 1970"
	case anAddress:
		v.network, ok = parseNetwork(text)
		rule = "an address or a network, such as 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32"
	}
	if !ok {
		err = fmt.Errorf("%q is not a value of %s, it must be %s", clip(text), o.name, rule)
	}
	return v, err
}

func parseNumber(text string) (float64, bool) {
	foreign := func(r rune) bool { return !strings.ContainsRune("0123456789+-.eE", r) } // what else Go takes
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil && !strings.ContainsFunc(text, foreign)
}

// parseTime reads a time as seconds since 1970. Numbers that mean a year, a day
// or milliseconds are none.
func parseTime(text string) (float64, bool) {
	const first, last = 100_000_000, 253_402_300_799 // in 1973, in 9999
	if n, ok := parseNumber(text); ok {
		return n, n >= first && n <= last
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return float64(t.Unix()) + float64(t.Nanosecond())/math.Pow10(9), true
		}
	}
	return 0, false
}

func parseNetwork(text string) (netip.Prefix, bool) {
	const embedded = 96 // bits before an address of IPv4 in one of IPv6
	n, err := netip.ParsePrefix(text)
	if err != nil {
		a, err := netip.ParseAddr(text)
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), err == nil && a.Zone() == ""
	}
	if n.Addr().Is4In6() { // clients' addresses never are
		n = netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-embedded)
	}
	return n, n.IsValid()
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

// among tells whether a text is one of the condition's values, or lies to one
// as the operator says. One that is not of the operator's kind is not.
func (c *condition) among(text string, a *Access) bool {
	number, ok := 0.0, true
	switch c.kind {
	case anAddress:
		address, err := netip.ParseAddr(text)
		return err == nil && slices.ContainsFunc(c.values, func(v value) bool { return v.network.Contains(address.Unmap()) })
	case aNumber:
		number, ok = parseNumber(text)
	case aTime:
		number, ok = parseTime(text)
	default:
		return c.amongTexts(text, a)
	}
	return ok && slices.ContainsFunc(c.values, func(v value) bool {
		order := cmp.Compare(number, v.number)
		return c.least <= order && order <= c.most
	})
}

// amongTexts tells whether a text is equal to a value, as it is to none in which
// a variable has no value.
func (c *condition) amongTexts(text string, a *Access) bool {
	for i := range c.values {
		var room [8]piece
		pieces, ok := c.values[i].resolve(room[:0], a)
		if !ok {
			continue
		}
		// Characters that differ in case only may differ in length.
		if c.fold && strings.EqualFold(join(pieces), text) || !c.fold && match(pieces, text, false) {
			return true
		}
	}
	return false
}
