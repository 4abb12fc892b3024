package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"

	"tributary"
	"tributary/front/api"
)

type accessKeyCmd struct {
	Create  accessKeyCreateCmd  `cmd:"" help:"Create an access key and print it, this once."`
	List    accessKeyListCmd    `cmd:"" help:"List the access keys, without their secrets."`
	Rotate  accessKeyRotateCmd  `cmd:"" help:"Create an access key in place of another, and print it, this once."`
	Disable accessKeyDisableCmd `cmd:"" help:"Disable an access key."`
	Enable  accessKeyEnableCmd  `cmd:"" help:"Enable an access key again."`
	Policy  accessKeyPolicyCmd  `cmd:"" help:"Set what an access key may do, or print it."`
	Delete  accessKeyDeleteCmd  `cmd:"" help:"Delete an access key that is disabled or expired."`
}

// Help says through what it works.
func (*accessKeyCmd) Help() string {
	return `Works through the running server, as pool does. With --offline it works on the
store itself, and the server of a data folder must be stopped: the way back in
when no key is known any more. Only there can the last key be disabled that may
do everything.`
}

type accessKeyCreateCmd struct {
	newKeyFlags
	Name         string `help:"Whose it is: a person's or a program's name." placeholder:"NAME"`
	Policy       string `help:"File with an IAM policy: what the key may do. Default: everything." placeholder:"FILE"`
	NewMasterKey bool   `help:"Go on with another master key than the store began with, because that one is lost. All nodes need the new one. Needs --offline."`
}

// Help says what to do with it.
func (*accessKeyCreateCmd) Help() string {
	return `Prints the key in the format of AWS shared credentials, ready for a file:

  tributary access-key create --name ci --policy policy.json --out credentials

When no key is known any more, stop the server:

  tributary access-key create --offline --data data --out data/credentials`
}

// Validate refuses what cannot work.
func (c *accessKeyCreateCmd) Validate() error {
	if c.NewMasterKey && !c.Offline {
		return errors.New("--new-master-key works on the store itself: it needs --offline")
	}
	return c.keyFlags.Validate()
}

// Run makes a key.
func (c *accessKeyCreateCmd) Run(e *env) error {
	c.newMasterKey = c.NewMasterKey
	policy, err := policyOf(c.Policy)
	if err != nil {
		return err
	}
	return c.create(e, "", func(keys api.AccessKeys) (tributary.AccessKey, string, error) {
		k, secret, err := keys.Create(e.ctx, c.Name, policy)
		if err == nil && policy == "" {
			c.tellUnlimited(e, k.ID)
		}
		return k, secret, err
	})
}

// policyOf reads a policy, of which there may be none.
func policyOf(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	document, err := os.ReadFile(file)
	if err == nil && len(document) == 0 {
		err = fmt.Errorf("%s is empty, it must hold an IAM policy", file) // "" would allow everything
	}
	return string(document), err
}

type accessKeyListCmd struct{ keyFlags }

// Run lists the keys by name, the oldest first.
func (c *accessKeyListCmd) Run(e *env) error {
	return c.with(e, func(keys api.AccessKeys) error {
		all, err := keys.Keys(e.ctx)
		if err != nil {
			return err
		}
		slices.SortStableFunc(all, func(a, b tributary.AccessKey) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Created, b.Created))
		})
		return c.print(e, all...)
	})
}

type accessKeyRotateCmd struct {
	newKeyFlags
	Keep string `default:"24h" help:"How long the old key is good beside the new one, like 90m, 24h or 7d: whole seconds, up to 90d. 0: it is disabled at once." placeholder:"DURATION"`
	ID   string `arg:"" help:"Id of the access key."`
}

// Validate refuses what cannot work.
func (c *accessKeyRotateCmd) Validate() error {
	if keep, ok := parseDuration(c.Keep); !ok || keep > tributary.MaxAccessKeyOverlap || keep%time.Second != 0 {
		return fmt.Errorf("--keep is %q, it must be whole seconds between 0 and %dd, like 90m, 24h or 7d", c.Keep, tributary.MaxAccessKeyOverlap/day)
	}
	return c.keyFlags.Validate()
}

// Help says what to do with it.
func (*accessKeyRotateCmd) Help() string {
	return `The server's own key, in its place:

  tributary access-key rotate ID --out data/credentials`
}

// Run makes a key in place of another.
func (c *accessKeyRotateCmd) Run(e *env) error {
	err := c.create(e, c.ID, func(keys api.AccessKeys) (tributary.AccessKey, string, error) {
		keep, _ := parseDuration(c.Keep) // Validate has done it
		k, secret, err := keys.Rotate(e.ctx, c.ID, keep)
		if err != nil {
			return k, secret, err
		}
		if keep == 0 {
			_, _ = fmt.Fprintf(e.stderr, "the access key %s is disabled\n", c.ID)
		} else {
			_, _ = fmt.Fprintf(e.stderr, "the access key %s is good for %s more\n", c.ID, c.Keep)
		}
		return k, secret, nil
	})
	if err == nil {
		c.tellStale(e)
	}
	return err
}

// tellStale says how to go on where the credentials file still has the old key.
func (c *accessKeyRotateCmd) tellStale(e *env) {
	path := c.credentialsFile(e.lookup)
	if old, err := readCredentials(path); err != nil || old.AccessKeyID != c.ID {
		return
	}
	where := ""
	if c.Out != "" {
		where = "of " + c.Out + " "
	}
	_, _ = fmt.Fprintf(e.stderr, "%s still has the old key: put the new one %sthere; next time, --out %s alone does it\n", path, where, path)
}

type accessKeyDisableCmd struct{ oneKey }

// Run disables a key.
func (c *accessKeyDisableCmd) Run(e *env) error {
	return c.change(e, tributary.AccessKeyChange{Disabled: new(true)})
}

type accessKeyEnableCmd struct{ oneKey }

// Run enables a key.
func (c *accessKeyEnableCmd) Run(e *env) error {
	return c.change(e, tributary.AccessKeyChange{Disabled: new(false)})
}

type accessKeyPolicyCmd struct {
	oneKey
	File string `arg:"" optional:"" help:"File with an IAM policy, or none: it may do everything. Default: the key's policy is printed."`
}

// Run sets a key's policy, or prints it.
func (c *accessKeyPolicyCmd) Run(e *env) error {
	if c.File == "" {
		return c.show(e)
	}
	if c.File == nothing {
		c.File = ""
	}
	policy, err := policyOf(c.File)
	if err != nil {
		return err
	}
	return c.change(e, tributary.AccessKeyChange{Policy: &policy})
}

// tellUnlimited says what a key without a policy may do.
func (*keyFlags) tellUnlimited(e *env, id string) {
	_, _ = fmt.Fprintf(e.stderr, "the access key %s has no policy: it may do everything\n", id)
}

func (c *accessKeyPolicyCmd) show(e *env) error {
	return c.with(e, func(keys api.AccessKeys) error {
		all, err := keys.Keys(e.ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(k tributary.AccessKey) bool { return k.ID == c.ID })
		switch {
		case i < 0:
			return fmt.Errorf("there is no access key %s", c.ID)
		case c.JSON:
			return c.print(e, all[i])
		case all[i].Policy == "":
			c.tellUnlimited(e, c.ID)
			return nil
		}
		return printDocument(e, all[i].Policy)
	})
}

// printDocument prints a policy as it was set.
func printDocument(e *env, document string) error {
	_, err := fmt.Fprintln(e.stdout, strings.TrimSuffix(document, "\n"))
	return err
}

type accessKeyDeleteCmd struct{ oneKey }

// Run deletes a key.
func (c *accessKeyDeleteCmd) Run(e *env) error {
	return c.with(e, func(keys api.AccessKeys) error {
		err := keys.Delete(e.ctx, c.ID)
		if err == nil {
			_, _ = fmt.Fprintf(e.stderr, "the access key %s is deleted\n", c.ID)
		}
		return err
	})
}

// oneKey is a command on one key.
type oneKey struct {
	keyFlags
	ID string `arg:"" help:"Id of the access key."`
}

func (c *oneKey) change(e *env, change tributary.AccessKeyChange) error {
	return c.with(e, func(keys api.AccessKeys) error {
		k, err := keys.Change(e.ctx, c.ID, change)
		if err != nil {
			return err
		}
		return c.print(e, k)
	})
}

// print prints keys without their secrets, as a table or JSON lines.
func (f *keyFlags) print(e *env, all ...tributary.AccessKey) error {
	if f.JSON {
		for i := range all {
			if err := printLine(e, api.ShowAccessKey(&all[i])); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "access key\tcreated\tpolicy\tstate\tname")
	for i := range all {
		k := &all[i]
		policy := nothing
		if k.Policy != "" {
			policy = "yes"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", k.ID, moment(k.Created), policy, keyState(k, tributary.MillisOf(time.Now())), k.Name)
	}
	return table.Flush()
}

func keyState(k *tributary.AccessKey, now tributary.Millis) string {
	switch {
	case k.Disabled:
		return "disabled"
	case !k.Good(now):
		return "expired"
	case k.Until != 0:
		return "until " + moment(k.Until)
	}
	return "enabled"
}

func moment(at tributary.Millis) string { return at.Time().UTC().Format(time.RFC3339) }

// printNew prints a key with its secret.
func (f *keyFlags) printNew(e *env, k *tributary.AccessKey, secret string) error {
	if f.JSON {
		return printLine(e, api.NewAccessKey{AccessKey: *api.ShowAccessKey(k), SecretAccessKey: secret})
	}
	_, err := fmt.Fprint(e.stdout, credentialsText(credentialsOf(k, secret), f.Region))
	return err
}

func printLine(e *env, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = fmt.Fprintf(e.stdout, "%s\n", b)
	}
	return err
}
