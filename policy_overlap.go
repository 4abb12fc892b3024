package tributary

import "strings"

// atom is a character of which a pattern, or a form of ARNs, knows this much.
type atom struct {
	is   rune   // 0: one of those of from, any if that is ""
	from string // ASCII
	many bool   // any number of such characters, maybe none
}

// atoms is the pattern as what its texts consist of. A variable may be any text.
func (p *pattern) atoms() []atom {
	var out []atom
	for i := range p.pieces {
		switch part := &p.pieces[i]; part.kind {
		case literal:
			out = appendText(out, part.text)
		case anyOne:
			out = append(out, atom{})
		default:
			out = append(out, atom{many: true})
		}
	}
	return out
}

func appendText(out []atom, text string) []atom {
	for _, r := range text {
		out = append(out, atom{is: r})
	}
	return out
}

const (
	wordChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
	hexChars  = "0123456789abcdef"
)

// formAtoms reads a form of ARNs, in which words in capitals stand for names.
func formAtoms(form string) []atom {
	some := func(from string) []atom { return []atom{{from: from}, {from: from, many: true}} }
	var out []atom
	for form != "" {
		n := len(form) - len(strings.TrimLeft(form, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
		switch form[:n] {
		case "":
			n = 1
			out = appendText(out, form[:n])
		case formPartition, formAccount: // any at all, to tell what is wrong
			out = append(out, atom{from: wordChars + "-", many: true})
		case "POOL", "ID":
			out = append(append(append(out, some(wordChars+"-")...), atom{is: ':'}), some(hexChars+"-")...)
		case "NAME":
			out = append(out, some(wordChars+".:-")...)
		case "SECOND":
			out = append(out, some("0123456789")...)
		case "PATH":
			out = append(out, some(wordChars+"/.+=,@-")...)
		default:
			out = append(out, some(wordChars+".+=,@-")...)
		}
		form = form[n:]
	}
	return out
}

// overlap tells whether a text of a form matches a pattern.
func overlap(pattern, form []atom) bool {
	// Whether what comes before the i-th of the pattern, and before the j-th of
	// the form, can be the same text: now[j] for one i, next[j] for the one after.
	now, next := make([]bool, len(form)+1), make([]bool, len(form)+1)
	now[0] = true
	for i := range pattern {
		clear(next)
		for j := range now {
			if now[j] {
				step(&pattern[i], form[j:], now[j:], next[j:])
			}
		}
		now, next = next, now
	}
	for j := range form {
		now[j+1] = now[j+1] || now[j] && form[j].many
	}
	return now[len(form)]
}

// step goes on from a place that was reached: by none of what may be many, or
// by a character of both.
func step(p *atom, form []atom, now, next []bool) {
	if p.many {
		next[0] = true
	}
	if len(form) == 0 {
		return
	}
	f := &form[0]
	meet := p.meets(f)
	if f.many || p.many && meet {
		now[1] = true
	}
	if f.many && meet {
		next[0] = true
	}
	if !f.many && !p.many && meet {
		next[1] = true
	}
}

// meets tells whether a pattern's character may be that of a form.
func (a *atom) meets(form *atom) bool {
	return a.is == 0 || a.is == form.is || form.is == 0 && strings.ContainsRune(form.from, a.is)
}
