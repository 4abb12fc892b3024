package main

import (
	"strings"
	"testing"

	"tributary/internal/pgtest"
)

// TestUnreachable: a database that does not let us in is named, without its
// password, with each cause once and what to look at.
func TestUnreachable(t *testing.T) {
	const refused = "dial tcp 127.0.0.1:1: connect: connection refused"
	silent := "postgres://u:secret@127.0.0.1:1/x"
	here := pgtest.Start(t).Fresh(t)
	stranger := strings.Replace(here, "postgres@", "stranger:secret@", 1)
	for _, c := range []struct{ store, says string }{
		{silent, "tributary: postgres://u@127.0.0.1:1/x does not answer: " + refused + " (does it run there, and can this machine reach it?)\n"},
		{"postgres://u:secret@127.0.0.1:1,127.0.0.1:2/x", " does not answer: " + refused + "; dial tcp 127.0.0.1:2: connect: connection refused (does"},
		{"postgres://u:secret@nowhere.invalid:1/x", "postgres://u@nowhere.invalid:1/x does not answer: lookup nowhere.invalid"},
		{stranger, ` does not let us in: FATAL: role "stranger" does not exist (SQLSTATE 28000) (are the user, the password and the database right?)` + "\n"},
		{strings.Replace(here, "/postgres?", "/none?", 1), ` does not let us in: FATAL: database "none" does not exist`},
	} {
		data := t.TempDir()
		for _, args := range [][]string{
			{"serve", "--listen", "127.0.0.1:0", "--data", data, "--store", c.store},
			{"migrate", "--store", c.store},
			{"access-key", "create", "--offline", "--data", data, "--store", c.store},
			{"migrate-store", "--offline", "--data", data, "--to", c.store},
		} {
			code, stdout, stderr := tool(t, nil, args...)
			if code != 1 || stdout != "" || !strings.Contains(stderr, c.says) || strings.Contains(stderr, "secret") || strings.Count(stderr, "\n") != 1 {
				t.Errorf("%v: exit code %d\n%s%s\nwant %q", args, code, stdout, stderr, c.says)
			}
		}
	}
}
