package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"tributary/awswire"
)

type accessKeyCmd struct {
	Create accessKeyCreateCmd `cmd:"" help:"Create an access key and print it, this once."`
}

type accessKeyCreateCmd struct {
	Data          string `default:"data" help:"Data folder of the server, which must be stopped." placeholder:"DIR"`
	Store         string `help:"Database of the nodes, which may go on, instead of a store in the data folder." placeholder:"postgres://…"`
	MasterKeyFile string `help:"File with the master key. Default: master.key in the data folder." placeholder:"FILE"`
	Region        string `default:"us-east-1" help:"Region to print with the key."`
	NewMasterKey  bool   `help:"Go on with another master key than the store began with, because that one is lost. All nodes need the new one."`
	Write         bool   `help:"Write the key to the file credentials of the data folder, which must not be there, instead of printing it."`
}

// Validate refuses what cannot work.
func (c *accessKeyCreateCmd) Validate() error {
	return cmp.Or(checkData(c.Data), checkStore("--store", c.Store), checkRegions("--region", c.Region))
}

// Help says what to do with it.
func (*accessKeyCreateCmd) Help() string {
	return `The way back in when no access key is known any more. Prints the key in the
format of AWS shared credentials, ready for a file:

  tributary access-key create --data data > credentials

With --write it goes to where the server's own first key was.`
}

// Run opens the store, as serve does, and makes a key.
func (c *accessKeyCreateCmd) Run(e *env) (err error) {
	if _, err := os.Stat(filepath.Join(c.Data, "store")); c.Store == "" && errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no store to make a key for; say --data DIR of the server: %w", err)
	}
	path := filepath.Join(c.Data, credentialsName)
	if _, err := os.Lstat(path); c.Write && err == nil {
		return fmt.Errorf("%s is there already: move it away, or leave --write out to print the key", path)
	}
	log := slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	s := &server{cfg: &serveCmd{Data: c.Data, Store: c.Store, MasterKeyFile: c.MasterKeyFile, MinFree: "0", Region: c.Region}, log: log, fail: make(chan error, 1)}
	defer func() {
		if closeErr := s.close(); err == nil {
			err = closeErr
		}
	}()
	if err := s.openStore(e.ctx); err != nil {
		return plain(err)
	}
	if err := s.openAuth(e.ctx); err != nil {
		return err
	}
	if c.Store != "" && !c.NewMasterKey {
		if err := s.checkKeys(e.ctx); err != nil {
			return fmt.Errorf("%w --new-master-key", err)
		}
	}
	var key awswire.Credentials
	if key, err = s.auth.NewAccessKey(e.ctx); err != nil {
		return err
	}
	if !c.Write {
		_, err = fmt.Fprint(e.stdout, credentialsText(key, c.Region))
		return err
	}
	if err = writeSecret(path, credentialsText(key, c.Region)); err == nil {
		_, _ = fmt.Fprintf(e.stderr, "the access key %s is in %s\n", key.AccessKeyID, path)
	}
	return err
}
