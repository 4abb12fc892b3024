package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
)

// Command is one of PostgreSQL's programs, to talk to the database of a URL.
// A password goes by the environment, where other users do not see it.
func Command(ctx context.Context, database, program string, args ...string) (*exec.Cmd, error) {
	bin, err := Programs()
	if err != nil {
		return nil, err
	}
	u, err := parse(database)
	if err != nil {
		return nil, err
	}
	password, has := u.User.Password()
	if has {
		u.User = url.User(u.User.Username())
	}
	c := exec.CommandContext(ctx, filepath.Join(bin, program), append(args, u.String())...)
	if has {
		c.Env = append(c.Environ(), "PGPASSWORD="+password)
	}
	return c, nil
}

// parse reads a URL. Its error does not repeat it: it may hold a password.
func parse(database string) (*url.URL, error) {
	u, err := url.Parse(database)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, errors.New("the database's URL cannot be read, it must be like postgres://user:password@host:5432/database")
	}
	return u, nil
}

// SQL runs statements, each a transaction of its own, and gives the rows, one a
// line, columns parted by |.
func SQL(ctx context.Context, database, statements string) (string, error) {
	c, err := Command(ctx, database, "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
	if err != nil {
		return "", err
	}
	var stderr bytes.Buffer
	c.Stdin, c.Stderr = strings.NewReader(statements), &stderr
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimSpace(string(out)), nil
}

// CreateSchema makes a schema in a database, and gives the URL at which it is
// the only one that is searched. The name is not quoted.
func CreateSchema(ctx context.Context, database, name string) (string, error) {
	u, err := parse(database)
	if err != nil {
		return "", err
	}
	if _, err := SQL(ctx, database, "CREATE SCHEMA "+name); err != nil {
		return "", err
	}
	q := u.Query()
	q.Set("options", strings.TrimSpace(q.Get("options")+" -csearch_path="+name))
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20") // libpq knows no other space
	return u.String(), nil
}

// DropSchema removes a schema with everything in it.
func DropSchema(ctx context.Context, database, name string) error {
	_, err := SQL(ctx, database, "SET client_min_messages = warning; DROP SCHEMA IF EXISTS "+name+" CASCADE")
	return err
}
