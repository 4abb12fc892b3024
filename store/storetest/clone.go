package storetest

import (
	"bytes"
	"slices"

	"tributary"
)

// cloneEntry copies an entry without what is for the store alone.
func cloneEntry(e tributary.Entry) tributary.Entry {
	if e.Change != nil {
		c := logged(e.Change)
		e.Change = &c
	}
	if e.Foreign != nil {
		f := *e.Foreign
		f.Data = bytes.Clone(f.Data)
		e.Foreign = &f
	}
	return e
}

// logged is a Change as a log shows it.
func logged(c *tributary.Change) tributary.Change {
	l := *c
	l.Records = slices.Clone(c.Records)
	l.Condition, l.Next, l.Forgotten = tributary.Condition{}, tributary.Dataset{}, nil
	return l
}
