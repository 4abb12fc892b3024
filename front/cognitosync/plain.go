package cognitosync

import (
	"strconv"

	"tributary/awswire"
)

// decodePlain reads the body of UpdateRecords if it has the plain shape that
// clients send: known members only, none twice, no escapes, ASCII. It reports
// false for anything else, valid or not, and the library decides.
func (in *updateRecordsIn) decodePlain(body []byte) bool {
	d := plain{rest: string(body)}
	var seen uint8
	ok := d.object(func(name string) bool {
		switch name {
		case "SyncSessionToken":
			in.SyncSessionToken = d.text()
			return d.first(&seen, 0)
		case "DeviceId":
			in.DeviceID = d.text()
			return d.first(&seen, 1)
		case "RecordPatches":
			return d.first(&seen, 2) && d.array(func() bool {
				in.RecordPatches = append(in.RecordPatches, recordPatch{})
				return d.patch(&in.RecordPatches[len(in.RecordPatches)-1])
			})
		}
		return false
	})
	d.space()
	return ok && d.rest == "" && !d.odd
}

func (d *plain) patch(p *recordPatch) bool {
	var seen uint8
	return d.object(func(name string) bool {
		switch name {
		case "Op":
			p.Op = d.text()
			return d.first(&seen, 0)
		case "Key":
			p.Key = d.text()
			return d.first(&seen, 1)
		case "Value":
			value := d.text()
			p.Value = &value
			return d.first(&seen, 2)
		case "SyncCount":
			n, err := strconv.ParseInt(d.number(), 10, 64)
			p.SyncCount = &n
			return d.first(&seen, 3) && err == nil
		case "DeviceLastModifiedDate":
			at, err := awswire.ParseTimestamp(d.number())
			p.DeviceLastModifiedDate = at
			return d.first(&seen, 4) && err == nil
		}
		return false
	})
}

// plain reads the simplest JSON. Once it has met something else, odd is set.
type plain struct {
	rest string
	odd  bool
}

// first tells whether a member was not seen before.
func (d *plain) first(seen *uint8, bit uint) bool {
	again := *seen>>bit&1 == 1
	*seen |= 1 << bit
	return !again && !d.odd
}

func (d *plain) space() {
	i := 0
	for i < len(d.rest) && (d.rest[i] == ' ' || d.rest[i] == '\n' || d.rest[i] == '\t' || d.rest[i] == '\r') {
		i++
	}
	d.rest = d.rest[i:]
}

// take takes a character, after white space, if it comes next.
func (d *plain) take(c byte) bool {
	d.space()
	if d.rest == "" || d.rest[0] != c {
		return false
	}
	d.rest = d.rest[1:]
	return true
}

// object reads an object; member is called at each value.
func (d *plain) object(member func(name string) bool) bool {
	return d.list('{', '}', func() bool {
		name := d.text()
		return !d.odd && d.take(':') && member(name)
	})
}

func (d *plain) array(element func() bool) bool { return d.list('[', ']', element) }

func (d *plain) list(begin, end byte, item func() bool) bool {
	if !d.take(begin) {
		return false
	}
	if d.take(end) {
		return true
	}
	for {
		if !item() {
			return false
		}
		if !d.take(',') {
			return d.take(end)
		}
	}
}

// text reads a string of plain characters.
func (d *plain) text() string {
	if !d.take('"') {
		d.odd = true
		return ""
	}
	for i := 0; i < len(d.rest); i++ {
		switch c := d.rest[i]; {
		case c == '"':
			s := d.rest[:i]
			d.rest = d.rest[i+1:]
			return s
		case c < 0x20 || c >= 0x7f || c == '\\':
			d.odd = true
			return ""
		}
	}
	d.odd = true
	return ""
}

// number reads digits with a fraction, but no sign, exponent or leading zero.
func (d *plain) number() string {
	d.space()
	i := 0
	for i < len(d.rest) && (d.rest[i] >= '0' && d.rest[i] <= '9' || d.rest[i] == '.') {
		i++
	}
	s := d.rest[:i]
	if s == "" || s[0] == '.' || s[i-1] == '.' || len(s) > 1 && s[0] == '0' && s[1] != '.' {
		d.odd = true
		return ""
	}
	d.rest = d.rest[i:]
	return s
}
