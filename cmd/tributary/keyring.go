package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"tributary"
	"tributary/auth"
	"tributary/awswire"
	"tributary/front/api"
)

// keyFlags say whose access keys a command is about: a server's, which it goes
// through, or a store's.
type keyFlags struct {
	Server      string `default:"http://127.0.0.1:8080" fallback:"AWS_ENDPOINT_URL" help:"Address of the server." placeholder:"URL"`
	Data        string `help:"Data folder of the server: for the developer key in its file credentials, or the store with --offline. Default: data." placeholder:"DIR"`
	Credentials string `help:"File with a developer key, in the format of AWS shared credentials. Default: that of --data if it is set, else AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, else AWS_SHARED_CREDENTIALS_FILE, else data/credentials." placeholder:"FILE"`
	Region      string `default:"us-east-1" help:"Region to sign for, and to print with a key."`

	Offline       bool   `help:"Work on the store itself: that of --store, or of --data, whose server must be stopped."`
	Store         string `help:"With --offline: the database of the nodes, which may go on." placeholder:"postgres://…"`
	MasterKeyFile string `help:"With --offline: file with the master key. Default: master.key in the data folder." placeholder:"FILE"`
	Account       string `default:"000000000000" help:"With --offline: the server's account, for policies."`

	JSON bool `help:"Print JSON lines."`

	newMasterKey bool
}

// Validate refuses what cannot work.
func (f *keyFlags) Validate() error {
	return cmp.Or(f.server().Validate(), checkStore("--store", f.Store), checkAccount(f.Account))
}

func (f *keyFlags) server() *serverFlags {
	return &serverFlags{Server: f.Server, Data: f.Data, Credentials: f.Credentials, Region: f.Region}
}

// credentialsFile is where a developer key is looked for; "" if it comes from
// the environment.
func (f *keyFlags) credentialsFile(lookup func(string) (string, bool)) string {
	if f.Offline {
		return filepath.Join(f.dataDir(), credentialsName)
	}
	return f.server().path(lookup)
}

func (f *keyFlags) dataDir() string { return cmp.Or(f.Data, "data") }

// with gives use the access keys.
func (f *keyFlags) with(e *env, use func(api.AccessKeys) error) error {
	if !f.Offline {
		f.noteUnused(e)
		return use(&remoteKeys{f.server(), e.lookup})
	}
	return f.inStore(e, use)
}

// noteUnused says so if the command line names a store, or its master key, and
// the command goes through the server. Settings of a file or the environment may
// be there for other commands.
func (f *keyFlags) noteUnused(e *env) {
	for _, flag := range []struct{ name, value string }{{"store", f.Store}, {"master-key-file", f.MasterKeyFile}} {
		if flag.value != "" && e.from[flag.name] == "" {
			_, _ = fmt.Fprintf(e.stderr, "--%s counts with --offline only: this goes through the server %s\n", flag.name, f.Server)
		}
	}
}

// inStore opens the store, as serve does.
func (f *keyFlags) inStore(e *env, use func(api.AccessKeys) error) (err error) {
	data := f.dataDir()
	if _, err := os.Stat(filepath.Join(data, "store")); f.Store == "" && errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no store with access keys; say --data DIR of the server: %w", err)
	}
	log := slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	s := &server{cfg: &serveCmd{Data: data, Store: f.Store, MasterKeyFile: f.MasterKeyFile, MinFree: "0", Region: f.Region, Account: f.Account}, log: log, fail: make(chan error, 1)}
	defer func() {
		if closeErr := s.close(); err == nil {
			err = closeErr
		}
	}()
	err = s.openStore(e.ctx)
	if tributary.KindOf(err) == tributary.Unavailable && f.Store == "" && !f.newMasterKey {
		return fmt.Errorf("%w, or go through it, without --offline", err)
	}
	if err != nil {
		return err
	}
	if err := s.openAuth(e.ctx); err != nil {
		return err
	}
	if f.Store != "" && !f.newMasterKey {
		if err := s.checkKeys(e.ctx); err != nil {
			return err
		}
	}
	return plain(use(&auth.Developers{Auth: s.auth, AllowLockout: true}))
}

// remoteKeys are the access keys of a server.
type remoteKeys struct {
	*serverFlags
	lookup func(string) (string, bool)
}

const keysPath = "access-keys"

// Keys lists all keys.
func (r *remoteKeys) Keys(ctx context.Context) ([]tributary.AccessKey, error) {
	var all []tributary.AccessKey
	query := url.Values{}
	for {
		var page api.AccessKeyPage
		if err := r.call(ctx, r.lookup, "GET", keysPath+"?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		for _, k := range page.AccessKeys {
			all = append(all, accessKeyOf(k))
		}
		if page.NextToken == "" {
			return all, nil
		}
		query.Set("nextToken", page.NextToken)
	}
}

// Create makes a key.
func (r *remoteKeys) Create(ctx context.Context, name, policy string) (tributary.AccessKey, string, error) {
	return r.make(ctx, keysPath, map[string]any{"Name": name, "Policy": policy})
}

// Rotate makes a key in place of another.
func (r *remoteKeys) Rotate(ctx context.Context, id string, keep time.Duration) (tributary.AccessKey, string, error) {
	return r.make(ctx, keysPath+"/"+url.PathEscape(id)+"/rotate", map[string]any{"KeepSeconds": int64(keep / time.Second)})
}

func (r *remoteKeys) make(ctx context.Context, path string, in any) (tributary.AccessKey, string, error) {
	var k api.NewAccessKey
	err := r.call(ctx, r.lookup, "POST", path, in, &k)
	return accessKeyOf(&k.AccessKey), k.SecretAccessKey, err
}

// Change changes a key.
func (r *remoteKeys) Change(ctx context.Context, id string, c tributary.AccessKeyChange) (tributary.AccessKey, error) {
	in := map[string]any{}
	if c.Name != nil {
		in["Name"] = *c.Name
	}
	if c.Policy != nil {
		in["Policy"] = *c.Policy
	}
	if c.Disabled != nil {
		in["Disabled"] = *c.Disabled
	}
	var k api.AccessKey
	err := r.call(ctx, r.lookup, "POST", keysPath+"/"+url.PathEscape(id), in, &k)
	return accessKeyOf(&k), err
}

// Delete forgets a key.
func (r *remoteKeys) Delete(ctx context.Context, id string) error {
	return r.call(ctx, r.lookup, "DELETE", keysPath+"/"+url.PathEscape(id), nil, &struct{}{})
}

// accessKeyOf is a key as a server shows it.
func accessKeyOf(k *api.AccessKey) tributary.AccessKey {
	out := tributary.AccessKey{ID: k.AccessKeyID, Name: k.Name, Policy: k.Policy, Disabled: k.Disabled, Created: tributary.MillisOf(k.Created)}
	if !k.Until.IsZero() {
		out.Until = tributary.MillisOf(k.Until)
	}
	return out
}

func credentialsOf(k *tributary.AccessKey, secret string) awswire.Credentials {
	return awswire.Credentials{AccessKeyID: k.ID, SecretKey: secret}
}
