package tributary

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// pattern is a text of a policy, cut where it is not literal.
type pattern struct {
	text      string // as it was written
	pieces    []piece
	variables bool // some of the pieces are
}

// piece is a part of a pattern.
type piece struct {
	kind       pieceKind
	text       string // the literal text, or the variable's key
	fallback   string // the variable's default value
	defaulting bool   // the variable has one, maybe ""
}

type pieceKind uint8

const (
	literal   pieceKind = iota
	anyText             // *
	anyOne              // ?
	aVariable           // ${key} or ${key, 'default'}
)

// parsePattern reads a text of a policy. Wildcards and variables mean
// themselves where a policy cannot have them.
func parsePattern(text string, wildcards, variables bool) (pattern, error) {
	p := pattern{text: text}
	for text != "" {
		part, n, err := parsePiece(text, wildcards, variables)
		if err != nil {
			return pattern{}, err
		}
		p.pieces = append(p.pieces, part)
		p.variables = p.variables || part.kind == aVariable
		text = text[n:]
	}
	return p, nil
}

// parsePiece reads the piece that text begins with and tells its length.
func parsePiece(text string, wildcards, variables bool) (piece, int, error) {
	switch {
	case wildcards && text[0] == '*':
		return piece{kind: anyText}, 1, nil
	case wildcards && text[0] == '?':
		return piece{kind: anyOne}, 1, nil
	case variables && strings.HasPrefix(text, "${"):
		return parseVariable(text)
	}
	n := strings.IndexAny(text[1:], "*?$") + 1
	if n == 0 {
		n = len(text)
	}
	return piece{text: text[:n]}, n, nil
}

// parseVariable reads the variable that text begins with and tells its length.
func parseVariable(text string) (piece, int, error) {
	bad := func() error {
		return fmt.Errorf("the variable in %q is not well formed, it must be ${key}, ${key, 'default'}, ${*}, ${?} or ${$}", clip(text))
	}
	n := strings.IndexAny(text, "},")
	if n < 0 {
		return piece{}, 0, bad()
	}
	part := piece{kind: aVariable, text: strings.TrimSpace(text[len("${"):n])}
	if part.text == "" || strings.Contains(part.text, "${") {
		return piece{}, 0, bad()
	}
	if text[n] == '}' {
		if len(part.text) == 1 && strings.Contains("*?$", part.text) {
			part.kind = literal
		}
		return part, n + 1, nil
	}
	rest, quoted := strings.CutPrefix(strings.TrimLeft(text[n+1:], " "), "'")
	value, rest, _ := strings.Cut(rest, "'")
	rest, ended := strings.CutPrefix(strings.TrimLeft(rest, " "), "}")
	if !quoted || !ended {
		return piece{}, 0, bad()
	}
	part.fallback, part.defaulting = value, true
	return part, len(text) - len(rest), nil
}

// resolve puts the variables' values in, into room, as literal text: what a
// user brings along never acts as a wildcard. It is false if one has no value.
func (p *pattern) resolve(room []piece, a *Access) ([]piece, bool) {
	if !p.variables {
		return p.pieces, true
	}
	for _, part := range p.pieces {
		if part.kind == aVariable {
			value, _ := a.key(part.text)
			if value == "" && !part.defaulting {
				return nil, false
			}
			if value == "" {
				value = part.fallback
			}
			part = piece{text: value}
		}
		room = append(room, part)
	}
	return room, true
}

// match tells whether the pieces, which are free of variables, are all of text.
// fold ignores case, for pieces in ASCII.
//
// A wildcard takes any characters, an ARN's colons and slashes among them. IAM
// says so of slashes, and of colons for a * at the end of a part. Other *s it
// keeps within their part, of the first five, in which AWS's ARNs leave no text
// to users.
//
// The last * alone is tried again: to take one more for an earlier one could
// not succeed where the last, which begins as early as can be, has failed. So
// the work is at most the product of both lengths.
func match(pieces []piece, text string, fold bool) bool {
	at, i := 0, 0
	star, from := -1, 0 // the last * met, and where what comes after it is tried
	for at < len(pieces) || i < len(text) {
		if at < len(pieces) {
			if pieces[at].kind == anyText {
				if at == len(pieces)-1 {
					return true
				}
				star, from = at, i
				at++
				continue
			}
			if n, ok := pieces[at].take(text[i:], fold); ok {
				at, i = at+1, i+n
				continue
			}
		}
		if star < 0 || from == len(text) {
			return false
		}
		_, n := utf8.DecodeRuneInString(text[from:])
		from += n
		at, i = star+1, from
	}
	return true
}

// take tells whether text begins with the piece, and how many bytes that are.
func (p *piece) take(text string, fold bool) (int, bool) {
	if p.kind == anyOne {
		_, n := utf8.DecodeRuneInString(text)
		return n, n > 0
	}
	n := len(p.text)
	if len(text) < n {
		return 0, false
	}
	return n, text[:n] == p.text || fold && strings.EqualFold(text[:n], p.text)
}

// join gives the text of pieces that are all literal.
func join(pieces []piece) string {
	if len(pieces) == 1 {
		return pieces[0].text
	}
	var b strings.Builder
	for i := range pieces {
		b.WriteString(pieces[i].text)
	}
	return b.String()
}

// parseAction reads a name of actions.
func parseAction(text string) (pattern, error) {
	service, name, _ := strings.Cut(text, ":")
	foreign := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_*?", r))
	}
	if text != "*" && (service == "" || name == "" || strings.ContainsFunc(service+name, foreign)) {
		return pattern{}, fmt.Errorf("%q is not an action, it must be \"*\" or a service and an action's name, such as cognito-sync:ListRecords, of letters, digits, -, _, * and ?", clip(text))
	}
	return parsePattern(text, true, false)
}

const arnParts = 6

// parseResource reads a name of resources. One that is no ARN, or is short of
// parts, would match nothing, and an author who wants to deny would not know.
func parseResource(text string, variables bool) (pattern, error) {
	p, err := parsePattern(text, true, variables)
	if err != nil || text == "*" {
		return p, err
	}
	if !strings.HasPrefix(text, "arn:") {
		return p, fmt.Errorf("%q is not a resource, it must be \"*\" or an ARN, such as arn:aws:cognito-sync:*:*:identitypool/*", clip(text))
	}
	parts := 1
	for _, part := range p.pieces {
		if part.kind == literal {
			parts += strings.Count(part.text, ":")
		}
	}
	if parts < arnParts && p.pieces[len(p.pieces)-1].kind != anyText {
		return p, fmt.Errorf("%q has %d parts, an ARN has %d: arn:partition:service:region:account:resource, of which a * can stand for the last", clip(text), parts, arnParts)
	}
	return p, nil
}
