package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	Policy  accessKeyPolicyCmd  `cmd:"" help:"Set what an access key may do."`
	Delete  accessKeyDeleteCmd  `cmd:"" help:"Delete an access key that is disabled or expired."`
}

// Help says through what it works.
func (*accessKeyCmd) Help() string {
	return `Works through the running server, as pool does. With --data or --store it works
on the store itself, and the server of a data folder must be stopped: the way
back in when no key is known any more. Only there can the last key be disabled
that may do everything.`
}

type accessKeyCreateCmd struct {
	keyFlags
	Name         string `help:"Whose it is: a person's or a program's name." placeholder:"NAME"`
	Policy       string `help:"File with an IAM policy: what the key may do. Default: everything." placeholder:"FILE"`
	NewMasterKey bool   `help:"Go on with another master key than the store began with, because that one is lost. All nodes need the new one. Works on the store itself."`
	Write        bool   `help:"Write the key to the file credentials of the data folder, which must not be there, instead of printing it. Works on the store itself."`
}

// Help says what to do with it.
func (*accessKeyCreateCmd) Help() string {
	return `Prints the key in the format of AWS shared credentials, ready for a file:

  tributary access-key create --name ci --policy policy.json > credentials

When no key is known any more, stop the server:

  tributary access-key create --data data > credentials

With --write it goes to where the server's own first key was.`
}

// Run makes a key.
func (c *accessKeyCreateCmd) Run(e *env) error {
	c.stopped, c.newMasterKey = c.Write || c.NewMasterKey, c.NewMasterKey
	path := filepath.Join(c.dataDir(), credentialsName)
	if _, err := os.Lstat(path); c.Write && err == nil {
		return fmt.Errorf("%s is there already: move it away, or leave --write out to print the key", path)
	}
	policy, err := policyOf(c.Policy)
	if err != nil {
		return err
	}
	return c.with(e, func(keys api.AccessKeys) error {
		k, secret, err := keys.Create(e.ctx, c.Name, policy)
		if err != nil {
			return err
		}
		if !c.Write {
			return c.printNew(e, &k, secret)
		}
		if err = writeSecret(path, credentialsText(credentialsOf(&k, secret), c.Region)); err == nil {
			_, _ = fmt.Fprintf(e.stderr, "the access key %s is in %s\n", k.ID, path)
		}
		return err
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
	keyFlags
	Keep time.Duration `default:"24h" help:"How long the old key is good beside the new one: whole seconds, up to 90 days. 0: it is disabled at once." placeholder:"DURATION"`
	ID   string        `arg:"" help:"Id of the access key."`
}

// Validate refuses what cannot work.
func (c *accessKeyRotateCmd) Validate() error {
	if c.Keep < 0 || c.Keep > tributary.MaxAccessKeyOverlap || c.Keep%time.Second != 0 {
		return fmt.Errorf("--keep is %s, it must be whole seconds between 0 and %s", c.Keep, tributary.MaxAccessKeyOverlap)
	}
	return c.keyFlags.Validate()
}

// Run makes a key in place of another.
func (c *accessKeyRotateCmd) Run(e *env) error {
	return c.with(e, func(keys api.AccessKeys) error {
		k, secret, err := keys.Rotate(e.ctx, c.ID, c.Keep)
		if err != nil {
			return err
		}
		if c.Keep == 0 {
			_, _ = fmt.Fprintf(e.stderr, "the access key %s is disabled\n", c.ID)
		} else {
			_, _ = fmt.Fprintf(e.stderr, "the access key %s is good for %s more, unless it was to end before\n", c.ID, c.Keep)
		}
		return c.printNew(e, &k, secret)
	})
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
	File string `arg:"" help:"File with an IAM policy, or none: it may do everything."`
}

// Run sets a key's policy.
func (c *accessKeyPolicyCmd) Run(e *env) error {
	if c.File == nothing {
		c.File = ""
	}
	policy, err := policyOf(c.File)
	if err != nil {
		return err
	}
	return c.change(e, tributary.AccessKeyChange{Policy: &policy})
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
