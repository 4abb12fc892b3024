package cognitoidentity

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"tributary"
)

// mostTold is of how many entries of a list or a map the errors are told.
const mostTold = 10

// shape is what a type of the service model demands of a value. check tells
// what a value at a place breaks, in AWS's words. A value of another JSON type
// breaks nothing here: it is refused where it is decoded.
type shape interface {
	check(at string, v any) []string
}

// text is a string.
type text struct {
	min, max int            // characters
	pattern  *regexp.Regexp // of the whole; nil: any
	secret   bool           // not shown in an error
}

// choice is a string out of a few.
type choice []string

// number is an integer.
type number struct{ min, max int64 }

// flag is a boolean, of which nothing is demanded.
type flag struct{}

// list is a list of values.
type list struct {
	of       shape
	min, max int // values; max 0: any number
}

// dict is a map.
type dict struct {
	key   text
	value shape
	max   int // entries; 0: any number
}

// structure is a JSON object with members of its own types. It knows no others,
// and ignores them.
type structure []member

type member struct {
	name     string
	of       shape
	required bool
}

func required(name string, of shape) member { return member{name, of, true} }
func optional(name string, of shape) member { return member{name, of, false} }

// pattern compiles a pattern of the model, which stands for the whole value.
func pattern(p string) *regexp.Regexp {
	re := regexp.MustCompile(p)
	re.Longest()
	return re
}

func violation(value, at, constraint string) string {
	return fmt.Sprintf("%s at '%s' failed to satisfy constraint: %s", value, at, constraint)
}

func tooShort(least int) string {
	return fmt.Sprintf("Member must have length greater than or equal to %d", least)
}

func tooLong(most int) string {
	return fmt.Sprintf("Member must have length less than or equal to %d", most)
}

// broken tells which constraints a text breaks.
func (s text) broken(t string) []string {
	var out []string
	n := utf8.RuneCountInString(t)
	if n < s.min {
		out = append(out, tooShort(s.min))
	}
	if s.max > 0 && n > s.max {
		out = append(out, tooLong(s.max))
	}
	if s.pattern != nil {
		if at := s.pattern.FindStringIndex(t); at == nil || at[0] > 0 || at[1] < len(t) {
			out = append(out, "Member must satisfy regular expression pattern: "+s.pattern.String())
		}
	}
	return out
}

func (s text) check(at string, v any) []string {
	t, ok := v.(string)
	if !ok {
		return nil
	}
	shown := "Value"
	if !s.secret {
		shown = quote(t)
	}
	out := s.broken(t)
	for i := range out {
		out[i] = violation(shown, at, out[i])
	}
	return out
}

func quote(t string) string { return fmt.Sprintf("Value '%.128s'", t) }

func (s choice) check(at string, v any) []string {
	t, ok := v.(string)
	if !ok || slices.Contains(s, t) {
		return nil
	}
	return []string{violation(quote(t), at, "Member must satisfy enum value set: ["+strings.Join(s, ", ")+"]")}
}

func (s number) check(at string, v any) []string {
	n, ok := v.(float64)
	shown := fmt.Sprintf("Value '%v'", v)
	switch {
	case ok && n < float64(s.min):
		return []string{violation(shown, at, fmt.Sprintf("Member must have value greater than or equal to %d", s.min))}
	case ok && n > float64(s.max):
		return []string{violation(shown, at, fmt.Sprintf("Member must have value less than or equal to %d", s.max))}
	}
	return nil
}

func (flag) check(string, any) []string { return nil }

// count checks how many entries a list or a map has.
func count(at string, n, least, most int) []string {
	switch {
	case n < least:
		return []string{violation("Value", at, tooShort(least))}
	case most > 0 && n > most:
		return []string{violation("Value", at, tooLong(most))}
	}
	return nil
}

func (s list) check(at string, v any) []string {
	values, ok := v.([]any)
	if !ok {
		return nil
	}
	out := count(at, len(values), s.min, s.max)
	for i, v := range values {
		if len(out) >= mostTold {
			break
		}
		out = append(out, checkMember(fmt.Sprintf("%s.%d.member", at, i+1), s.of, v)...)
	}
	return out
}

func (s dict) check(at string, v any) []string {
	entries, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	out := count(at, len(entries), 0, s.max)
	for _, k := range slices.Sorted(maps.Keys(entries)) {
		if len(out) >= mostTold {
			break
		}
		if broken := s.key.broken(k); len(broken) > 0 {
			out = append(out, violation(quote(k), at, "Map keys must satisfy constraint: ["+strings.Join(broken, ", ")+"]"))
		}
		out = append(out, checkMember(fmt.Sprintf("%s.%.128s.member", at, k), s.value, entries[k])...)
	}
	return out
}

// checkMember checks a value of a list or a map, which must be there.
func checkMember(at string, of shape, v any) []string {
	if v == nil {
		return []string{violation("Value null", at, "Member must not be null")}
	}
	return of.check(at, v)
}

func (s structure) check(at string, v any) []string {
	have, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	if at != "" {
		at += "."
	}
	var out []string
	for _, m := range s {
		place := at + strings.ToLower(m.name[:1]) + m.name[1:]
		if v := have[m.name]; v != nil || m.required {
			out = append(out, checkMember(place, m.of, v)...)
		}
	}
	return out
}

// checkInput holds an operation's input to the service model.
func checkInput(s structure, v any) error {
	broken := s.check("", v)
	if len(broken) == 0 {
		return nil
	}
	errors := "errors"
	if len(broken) == 1 {
		errors = "error"
	}
	return tributary.Errorf(tributary.Invalid, "check input", "%d validation %s detected: %s", len(broken), errors, strings.Join(broken, "; "))
}
