package tributary

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxPolicyLength is the length of the longest policy document, in bytes.
const MaxPolicyLength = 20_480

// The versions of the policy language. Variables came with the second.
const (
	version2008 = "2008-10-17" // of a document that names none
	version2012 = "2012-10-17"
)

// ParsePolicy reads a policy document, in the JSON of IAM's grammar. It is
// stricter than IAM about what would have no effect, since in a policy that
// denies that would be a hole.
//
// Errors: Invalid, with what is wrong and what is allowed.
func ParsePolicy(document string) (*Policy, error) {
	p, err := parsePolicy(document)
	if err != nil {
		return nil, Errorf(Invalid, "parse policy", "The policy is not valid: %s", err)
	}
	return p, nil
}

func parsePolicy(document string) (*Policy, error) {
	if len(document) > MaxPolicyLength {
		return nil, fmt.Errorf("it has %d bytes, it must have at most %d", len(document), MaxPolicyLength)
	}
	if !utf8.ValidString(document) {
		return nil, errors.New("it is not in UTF-8")
	}
	if strings.HasPrefix(document, "\ufeff") {
		return nil, errors.New("it begins with a byte order mark, save it as UTF-8 without one")
	}
	var raw json.RawMessage
	if err := json.Unmarshal([]byte(document), &raw); err != nil {
		return nil, fmt.Errorf("it is not JSON: %s%w", place(document, err), err)
	}
	all, err := members(raw)
	if err != nil {
		return nil, err
	}
	version, statements := version2008, []json.RawMessage(nil)
	for _, m := range all {
		switch m.name {
		case "Version":
			version, err = choice(m.value, version2012, version2008)
		case "Id":
			_, err = jsonText(m.value)
		case "Statement":
			statements, err = elements(m.value)
		default:
			err = errors.New("it is not a member of a policy, those are Version, Id and Statement")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", clip(m.name), err)
		}
	}
	if statements == nil {
		return nil, errors.New("it has no Statement, it must have at least one")
	}
	return parseStatements(statements, version == version2012)
}

// place tells where in a document a mistake of syntax is, with characters from 1.
func place(document string, err error) string {
	wrong, ok := errors.AsType[*json.SyntaxError](err)
	if !ok {
		return ""
	}
	before := document[:max(0, min(int(wrong.Offset), len(document))-1)] // the offset is behind the mistake
	line := before[strings.LastIndexByte(before, '\n')+1:]
	return fmt.Sprintf("line %d, column %d: ", 1+strings.Count(before, "\n"), 1+utf8.RuneCountInString(line))
}

func parseStatements(all []json.RawMessage, variables bool) (*Policy, error) {
	p := &Policy{statements: make([]statement, len(all))}
	for i, raw := range all {
		s, err := parseStatement(raw, variables)
		if err != nil {
			return nil, fmt.Errorf("statement %d: %w", i+1, err)
		}
		p.statements[i] = s
		s.eachKey(func(_, name string) {
			if !slices.Contains(p.keys, name) {
				p.keys = append(p.keys, name)
			}
		})
	}
	return p, nil
}

func parseStatement(raw json.RawMessage, variables bool) (statement, error) {
	all, err := members(raw)
	if err != nil {
		return statement{}, err
	}
	var s statement
	for _, m := range all {
		if err := s.parseMember(m, variables); err != nil {
			return statement{}, fmt.Errorf("%s: %w", clip(m.name), err)
		}
	}
	switch {
	case s.effect == ImplicitDeny:
		return s, errors.New("it has no Effect, it must have one, Allow or Deny")
	case s.actions.patterns == nil:
		return s, errors.New("it must have either Action or NotAction")
	case s.resources.patterns == nil:
		return s, errors.New("it must have either Resource or NotResource")
	}
	return s, nil
}

func (s *statement) parseMember(m member, variables bool) (err error) {
	switch m.name {
	case "Sid":
		_, err = jsonText(m.value)
	case "Effect":
		s.effect, err = parseEffect(m.value)
	case "Action", "NotAction":
		err = s.actions.parse(m, parseAction)
	case "Resource", "NotResource":
		err = s.resources.parse(m, func(text string) (pattern, error) { return parseResource(text, variables) })
	case "Condition":
		s.conditions, err = parseConditions(m.value, variables)
	case "Principal", "NotPrincipal":
		err = errors.New("a policy of an access key or a role cannot have it, since it speaks of whoever has that")
	default:
		err = errors.New("it is not a member of a statement, those are Sid, Effect, Action, NotAction, Resource, NotResource and Condition")
	}
	return err
}

func parseEffect(raw json.RawMessage) (Verdict, error) {
	effect, err := choice(raw, "Allow", "Deny")
	if effect == "Deny" {
		return ExplicitDeny, err
	}
	return Allowed, err
}

// parse reads a selection, of which a statement has one.
func (s *selection) parse(m member, pattern func(string) (pattern, error)) error {
	if s.patterns != nil {
		return errors.New("the statement has the other of the two already, it must have one")
	}
	s.except = strings.HasPrefix(m.name, "Not")
	all, err := elements(m.value)
	if err != nil {
		return err
	}
	for _, raw := range all {
		t, err := jsonText(raw)
		if err != nil {
			return err
		}
		p, err := pattern(t)
		if err != nil {
			return err
		}
		s.patterns = append(s.patterns, p)
	}
	return nil
}

func parseConditions(raw json.RawMessage, variables bool) ([]condition, error) {
	operators, err := members(raw)
	if err != nil {
		return nil, err
	}
	var out []condition
	for _, o := range operators {
		of, err := parseOperator(o.name)
		if err != nil {
			return nil, err
		}
		keys, err := members(o.value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.name, err)
		}
		for _, k := range keys {
			c := of
			if err := c.parse(k, variables); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", o.name, clip(k.name), err)
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// parse reads a condition's key and the values that it is compared with.
func (c *condition) parse(m member, variables bool) error {
	if m.name == "" {
		return errors.New("the name of a condition key is empty")
	}
	c.key = m.name
	all, err := elements(m.value)
	if err != nil {
		return err
	}
	for _, raw := range all {
		t, err := scalar(raw)
		if err != nil {
			return err
		}
		p, err := c.parseValue(t, variables)
		if err != nil {
			return err
		}
		c.values = append(c.values, p)
	}
	return nil
}

// member is a member of a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

// members lists an object's members as they come, none of them twice: which of
// two is meant would be a guess.
func members(raw json.RawMessage) ([]member, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("%s is not an object", clip(string(raw)))
	}
	var out []member
	seen := map[string]bool{}
	for dec.More() {
		var m member
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		m.name, _ = t.(string)
		if err := dec.Decode(&m.value); err != nil {
			return nil, err
		}
		if seen[m.name] {
			return nil, fmt.Errorf("%q is there twice", clip(m.name))
		}
		seen[m.name] = true
		out = append(out, m)
	}
	return out, nil
}

// elements gives a list's elements, or what stands for a list of one.
func elements(raw json.RawMessage) ([]json.RawMessage, error) {
	var list []json.RawMessage
	if !bytes.HasPrefix(raw, []byte("[")) {
		return []json.RawMessage{raw}, nil
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errors.New("the list is empty, it must have at least one element")
	}
	return list, nil
}

func jsonText(raw json.RawMessage) (string, error) {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return "", err
	}
	s, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("%s is not a text", clip(string(raw)))
	}
	return s, nil
}

// scalar gives a condition's value, which needs no quotes if it is a number or
// a boolean.
func scalar(raw json.RawMessage) (string, error) {
	var v any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return "", err
	}
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		return strconv.FormatBool(v), nil
	}
	return "", fmt.Errorf("%s is not a value, it must be a text, a number or a boolean", clip(string(raw)))
}

// choice reads a text that must be one of two.
func choice(raw json.RawMessage, one, other string) (string, error) {
	s, err := jsonText(raw)
	if err == nil && s != one && s != other {
		err = fmt.Errorf("%q is not known, it must be %s or %s", clip(s), one, other)
	}
	return s, err
}
