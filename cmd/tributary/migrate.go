package main

import (
	"cmp"
	"errors"
	"fmt"

	"tributary/store/pgstore"
)

type migrateCmd struct {
	Store  string `help:"Database of the nodes, as for serve. Set it by the environment: it holds a password." placeholder:"postgres://…"`
	Shards int    `default:"4" help:"Shards of the default log. Counts when the database is new." placeholder:"N"`
	DryRun bool   `help:"Print the SQL of the steps that the database lacks, and change nothing."`
}

// Validate refuses what cannot work.
func (c *migrateCmd) Validate() error {
	if c.Store == "" {
		return errors.New("--store is not set: it must be the database of the nodes, postgres://…")
	}
	return cmp.Or(checkStore("--store", c.Store), checkShards(c.Shards))
}

// Help says when it is needed.
func (*migrateCmd) Help() string {
	return `serve does the same when it starts. Run it beforehand where the nodes' user of
the database may not change its schema. Each step is one transaction, and
leaves a schema that the nodes of the version before can still work with: old
and new nodes run side by side while they are replaced.`
}

// Run brings the schema to this program's version, or says what is to be done.
func (c *migrateCmd) Run(e *env) error {
	steps, err := pgstore.Pending(e.ctx, c.Store)
	if err != nil {
		return plain(unreachable(c.Store, err))
	}
	if len(steps) == 0 {
		_, err = fmt.Fprintf(e.stdout, "nothing to do: the schema has version %d\n", pgstore.Version())
		return err
	}
	if c.DryRun {
		for _, step := range steps {
			if _, err := fmt.Fprintf(e.stdout, "-- to version %d\n%s;\n\n", step.Version, step.SQL); err != nil {
				return err
			}
		}
		return nil
	}
	if err := pgstore.Migrate(e.ctx, c.Store, c.Shards); err != nil {
		return plain(unreachable(c.Store, err))
	}
	_, err = fmt.Fprintf(e.stdout, "the schema was brought from version %d to %d\n", steps[0].Version-1, pgstore.Version())
	return err
}
