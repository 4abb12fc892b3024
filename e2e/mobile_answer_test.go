package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// read looks at an answer as the client does: what it reads of every answer, of
// every answer to this operation or of every fault, and of this answer.
func (p *phone) read(x *mobileExchange, a mobileAnswer) {
	p.t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(a.body))
	decoder.UseNumber() // how a number is written matters to those who read it as a long
	var body any
	if err := decoder.Decode(&body); err != nil {
		p.t.Fatalf("%s %s: %v in %s", x.place, x.title, err, clip(string(a.body)))
	}
	for _, section := range []string{answersSection, x.section()} {
		if len(p.client.reads[section]) == 0 {
			p.t.Fatalf("%s what the client reads of %q is not in its client.txt", x.place, section)
		}
		p.readAll(a, body, p.client.reads[section])
	}
	p.readAll(a, body, x.reads)
}

// section is what of client.txt is about the answer.
func (x *mobileExchange) section() string {
	switch {
	case x.status < http.StatusBadRequest:
		return x.operation
	case x.ofIdentity():
		return identityFaults
	}
	return syncFaults
}

func (p *phone) readAll(a mobileAnswer, body any, all []reading) {
	p.t.Helper()
	for _, r := range all {
		if err := p.readOne(a, body, r); err != nil {
			p.t.Errorf("%s %s is %v, want %s: the client's %s", r.place, r.member, err, r.want, r.reason)
		}
	}
}

// readOne reads one member, or all that its path names. Its error tells what is
// there instead.
func (p *phone) readOne(a mobileAnswer, body any, r reading) error {
	if name, found := strings.CutPrefix(r.member, "header "); found {
		value, ok := a.headers[name]
		if !ok {
			return p.compare(nil, r)
		}
		return p.compare(value, r)
	}
	found := []any{body}
	for _, step := range memberSteps.FindAllStringSubmatch(p.fill(r.place, r.member), -1) {
		var next []any
		for _, v := range found {
			next = append(next, member(v, step[1], step[2], step[3])...)
		}
		found = next
	}
	for _, v := range found {
		if err := p.compare(v, r); err != nil {
			return err
		}
	}
	return nil
}

// memberSteps splits Datasets[settings].NumRecords.
var memberSteps = regexp.MustCompile(`([A-Za-z_]+)(\[([^\]]*)\])?`)

// member gives a member's value, or if it has an index the elements of it that
// are called so, and all for [].
func member(of any, name, index, called string) []any {
	o, _ := of.(object)
	if index == "" {
		return []any{o[name]}
	}
	elements, _ := o[name].([]any)
	if called == "" {
		return elements
	}
	for _, e := range elements {
		if o, ok := e.(object); ok && (o["Key"] == called || o["DatasetName"] == called) {
			return []any{e}
		}
	}
	return []any{nil}
}

// compare holds a value, nil if there is none, to what is wanted of it.
func (p *phone) compare(v any, r reading) error {
	if template, found := strings.CutPrefix(r.want, "-> "); found {
		return p.keep(v, template)
	}
	if number, found := strings.CutPrefix(r.want, "length "); found {
		list, ok := v.([]any)
		if !ok || strconv.Itoa(len(list)) != number {
			return fmt.Errorf("a list of %d", len(list))
		}
		return nil
	}
	if is, ok := mobileTypes[r.want]; ok {
		if !is(v) {
			return fmt.Errorf("%#v", v)
		}
		return nil
	}
	decoder := json.NewDecoder(strings.NewReader(p.fill(r.place, r.want)))
	decoder.UseNumber()
	var want any
	if err := decoder.Decode(&want); err != nil {
		p.t.Fatalf("%s %q is no type and no JSON: %v", r.place, r.want, err)
	}
	if !reflect.DeepEqual(v, want) {
		return fmt.Errorf("%#v", v)
	}
	return nil
}

// keep keeps a text as the variable that a template names.
func (p *phone) keep(v any, template string) error {
	before, name, _ := strings.Cut(template, "{")
	text, ok := v.(string)
	value, found := strings.CutPrefix(text, before)
	if !ok || !found || value == "" {
		return fmt.Errorf("%#v", v)
	}
	p.variables[strings.TrimSuffix(name, "}")] = value
	return nil
}

var (
	longPattern = regexp.MustCompile(`^-?[0-9]+$`)
	uuidPattern = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
)

// mobileTypes are the types of what clients read. What is absent is null to them.
var mobileTypes = map[string]func(any) bool{
	"null":           func(v any) bool { return v == nil },
	"boolean":        func(v any) bool { _, ok := v.(bool); return ok },
	"long":           func(v any) bool { n, ok := v.(json.Number); return ok && longPattern.MatchString(n.String()) },
	"number":         func(v any) bool { _, ok := v.(json.Number); return ok },
	"string":         func(v any) bool { _, ok := v.(string); return ok },
	"string or null": func(v any) bool { _, ok := v.(string); return ok || v == nil },
	"text":           func(v any) bool { s, ok := v.(string); return ok && s != "" },
	"text or null":   func(v any) bool { s, ok := v.(string); return ok && s != "" || v == nil },
	"uuid":           func(v any) bool { s, ok := v.(string); return ok && uuidPattern.MatchString(s) },
	"json type":      func(v any) bool { s, _ := v.(string); return strings.Contains(s, "json") },
	"array":          func(v any) bool { _, ok := v.([]any); return ok },
	"array or null":  func(v any) bool { _, ok := v.([]any); return ok || v == nil },
}
