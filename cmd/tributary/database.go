package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"tributary"
	"tributary/store/pgstore"
)

const databaseForm = "postgres://USER:PASSWORD@HOST:PORT/DATABASE"

// checkStore wants a database's URL, or none. What is wrong is not shown: it
// may hold a password.
func checkStore(flag, url string) error {
	if url == "" {
		return nil
	}
	if !isDatabase(url) {
		return fmt.Errorf("%s is no database: it must be %s", flag, databaseForm)
	}
	if _, _, err := pgstore.Place(url); err != nil {
		return fmt.Errorf("%s: %s; it must be %s", flag, tributary.Message(err), databaseForm)
	}
	return nil
}

func isDatabase(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

// unreachable says of a database that does not let us in which it is, why, and
// what to look at.
func unreachable(url string, err error) error {
	name, _, _ := pgstore.Place(url) // a URL that cannot be read reaches nothing
	says := func(format string, args ...any) error {
		return said{&tributary.Error{Kind: tributary.Unavailable, Op: "open store", Msg: name + fmt.Sprintf(format, args...), Err: err}}
	}
	const authorization, catalog = "28", "3D" // classes of SQLSTATE: who, and which database
	var answer interface{ SQLState() string }
	if errors.As(err, &answer) && (strings.HasPrefix(answer.SQLState(), authorization) || strings.HasPrefix(answer.SQLState(), catalog)) {
		return says(" does not let us in: %s (are the user, the password and the database right?)", causes(err))
	}
	var e *tributary.Error
	if errors.As(err, &e) && e.Kind == tributary.Unavailable && e.Err != nil {
		return says(" does not answer: %s (does it run there, and can this machine reach it?)", causes(e.Err))
	}
	return err
}

// causes are what an error comes from, each once: a driver tries every address,
// with TLS and without.
func causes(err error) string {
	var all []string
	var walk func(error)
	walk = func(err error) {
		var inner []error
		switch e := err.(type) {
		case *net.OpError, *net.DNSError, interface{ SQLState() string }: // say enough themselves
		case interface{ Unwrap() []error }:
			inner = e.Unwrap()
		case interface{ Unwrap() error }:
			inner = []error{e.Unwrap()}
		}
		for _, e := range inner {
			if e != nil {
				walk(e)
			}
		}
		if text := err.Error(); len(inner) == 0 && !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	walk(err)
	return strings.Join(all, "; ")
}
