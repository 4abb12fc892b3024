package main

import (
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
	MasterKeyFile string `help:"File with the master key. Default: master.key in the data folder." placeholder:"FILE"`
	Region        string `default:"us-east-1" help:"Region to print with the key."`
}

// Help says what to do with it.
func (*accessKeyCreateCmd) Help() string {
	return `The way back in when no access key is known any more. Prints the key in the
format of AWS shared credentials, ready for a file:

  tributary access-key create --data data > credentials`
}

// Run opens the store, as serve does, and makes a key.
func (c *accessKeyCreateCmd) Run(e *env) (err error) {
	if _, err := os.Stat(filepath.Join(c.Data, "store")); err != nil {
		return fmt.Errorf("there is no store to make a key for; say --data DIR of the server: %w", err)
	}
	log := slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	s := &server{cfg: &serveCmd{Data: c.Data, MasterKeyFile: c.MasterKeyFile, MinFree: "0", Region: c.Region}, log: log, fail: make(chan error, 1)}
	defer func() {
		if closeErr := s.close(); err == nil {
			err = closeErr
		}
	}()
	if err := s.openStore(e.ctx); err != nil {
		return err
	}
	if err := s.openAuth(e.ctx); err != nil {
		return err
	}
	var key awswire.Credentials
	if key, err = s.auth.NewAccessKey(e.ctx); err != nil {
		return err
	}
	_, err = fmt.Fprint(e.stdout, credentialsText(key, c.Region))
	return err
}
