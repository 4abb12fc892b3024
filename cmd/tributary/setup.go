package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"tributary"
	"tributary/auth"
	"tributary/awswire"
	"tributary/store/pgstore"
)

// masterKey reads the master key, in hexadecimal, and makes one at the first
// start. A key file that was named must be there, and so must the one of a
// store that holds keys: another master key could not open them.
func masterKey(named, data string, keys int, many bool) ([]byte, error) {
	path := named
	if path == "" {
		path = filepath.Join(data, "master.key")
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && named == "" {
		if keys > 0 && many {
			return nil, fmt.Errorf(`the master key %s is missing: copy it from a node that runs, or name it with --master-key-file.
Only if no node and no backup has it: make another one with "openssl rand -hex %d > %s", give it to every node, and make an access key with "tributary access-key create --offline --new-master-key --store %s --data %s"`,
				path, tributary.MasterKeyLength, path, databaseForm, data)
		}
		if keys > 0 {
			return nil, fmt.Errorf(`the master key %s is missing, and the store holds access keys that only it opens (%d of them): restore the file from a backup.
If it is lost for good, make another one with "openssl rand -hex %d > %s", and an access key with "tributary access-key create --offline --data %s"`,
				path, keys, tributary.MasterKeyLength, path, data)
		}
		key := make([]byte, tributary.MasterKeyLength)
		_, _ = rand.Read(key) // never fails
		if err := writeSecret(path, hex.EncodeToString(key)+"\n"); err != nil {
			return nil, fmt.Errorf("the master key cannot be written: %w", err)
		}
		return key, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the master key cannot be read: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != tributary.MasterKeyLength {
		return nil, fmt.Errorf("%s is no master key: it must hold %d bytes in hexadecimal", path, tributary.MasterKeyLength)
	}
	return key, nil
}

// firstKey gives a store that holds no access key its first one: that of the
// credentials file, else a new one. The file comes first, so that an end in
// between leaves a key for the next start, and never one that nobody knows.
func (s *server) firstKey(ctx context.Context) error {
	path := filepath.Join(s.cfg.Data, credentialsName)
	key, err := readCredentials(path)
	if errors.Is(err, os.ErrNotExist) {
		key = auth.GenerateAccessKey()
		s.newKey = &key
		err = writeSecret(path, credentialsText(key, s.cfg.Region))
	}
	if err != nil {
		return fmt.Errorf("the first access key: %w", err)
	}
	return s.auth.PutAccessKey(ctx, key)
}

// credentialsText is a key in the format of AWS shared credentials.
func credentialsText(key awswire.Credentials, region string) string {
	return fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\nregion = %s\n", key.AccessKeyID, key.SecretKey, region)
}

// writeSecret writes a new file that only its owner may read, whole or not at
// all, durably.
//
// Errors: os.ErrExist if it is there.
func writeSecret(path, text string) error { return putSecret(path, text, placeNew) }

// replaceSecret is writeSecret in the place of a file that is there.
func replaceSecret(path, text string) error { return putSecret(path, text, os.Rename) }

// placeNew gives a file another name, which must be free.
func placeNew(from, to string) error {
	err := os.Link(from, to)
	if errors.Is(err, os.ErrPermission) || errors.Is(err, errors.ErrUnsupported) { // the file system has no links
		if _, err = os.Lstat(to); errors.Is(err, os.ErrNotExist) {
			return os.Rename(from, to) // a file that comes right now is lost
		}
		err = cmp.Or(err, os.ErrExist)
	}
	if errors.Is(err, os.ErrExist) {
		err = &os.PathError{Op: "write", Path: to, Err: os.ErrExist} // without the other name
	}
	return err
}

func putSecret(path, text string, place func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // has mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // if it still has that name
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = place(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// diskSize is the size, in bytes, of the disk that a folder is on or will be.
func diskSize(dir string) (uint64, error) {
	var disk syscall.Statfs_t
	err := syscall.Statfs(dir, &disk)
	for ; errors.Is(err, os.ErrNotExist) && dir != filepath.Dir(dir); err = syscall.Statfs(dir, &disk) {
		dir = filepath.Dir(dir)
	}
	if err != nil {
		return 0, fmt.Errorf("the data folder %s cannot be used: reading the size of its disk: %w", dir, err)
	}
	return disk.Blocks * uint64(disk.Bsize), nil
}

// minFree reads --min-free: a size, a percentage of the disk, or auto.
func minFree(text string, disk uint64) (uint64, error) {
	if text == "auto" {
		const usual, share = 1 << 30, 20
		return min(usual, disk/share), nil
	}
	if percent, ok := strings.CutSuffix(text, "%"); ok {
		n, err := strconv.ParseFloat(percent, 64)
		if err != nil || !(n >= 0 && n <= 100) { // NaN is neither
			return 0, fmt.Errorf("--min-free is %q, a percentage must be between 0%% and 100%%", text)
		}
		return uint64(float64(disk) * n / 100), nil
	}
	var size byteSize
	if err := size.UnmarshalText([]byte(text)); err != nil {
		return 0, fmt.Errorf("--min-free: %w", err)
	}
	return uint64(size), nil
}

// storeName says where a store is, without a password: a database, or the
// embedded store if it is "".
func (c *serveCmd) storeName(store string) string {
	if store == "" {
		return filepath.Join(c.Data, "store")
	}
	name, _, _ := pgstore.Place(store) // a URL that cannot be read opens no store
	return name
}

// greet says what is where, and what to try.
func (s *server) greet(w io.Writer) {
	credentials := filepath.Join(s.cfg.Data, credentialsName)
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	say("tributary %s is ready on %s", version, s.url())
	say("  store        %s", s.cfg.storeName(s.cfg.Store))
	say("  warehouse    %s", s.greetWarehouse())
	_, missing := os.Stat(credentials)
	switch {
	case missing != nil && s.cfg.Store != "":
		say("  credentials  in the store; %s makes another key", s.lostKey())
	case missing != nil:
		say("  credentials  %s (missing; make a key with %s)", credentials, s.lostKey())
	case s.fileKey.bad:
		say("  credentials  %s (%s: put a good key there, or move the file away and make one with %s)", credentials, s.fileKey.note, s.lostKey())
	case s.fileKey.note != "":
		say("  credentials  %s (%s)", credentials, s.fileKey.note)
	default:
		say("  credentials  %s", credentials)
	}
	if s.newKey != nil {
		say("")
		say("A developer access key was created. Its secret is shown this once; the file above keeps it.")
		say("  access key id      %s", s.newKey.AccessKeyID)
		say("  secret access key  %s", s.newKey.SecretKey)
	}
	say("")
	say("Try it with the AWS CLI:")
	file := "AWS_SHARED_CREDENTIALS_FILE=" + absolute(credentials) + " "
	if missing != nil || s.fileKey.bad {
		file = ""
	}
	say("  export %s%sAWS_ENDPOINT_URL=%s", file, s.bundleHint(nil), s.url())
	say("  aws cognito-identity create-identity-pool --identity-pool-name demo --allow-unauthenticated-identities")
	say("  aws cognito-identity list-identity-pools --max-results 10")
	say("")
}

// lostKey is the command that makes a key without one.
func (s *server) lostKey() string {
	if s.cfg.Store != "" {
		return fmt.Sprintf("\"tributary access-key create --offline %s\"", s.keyFlags())
	}
	return fmt.Sprintf("\"tributary access-key create --offline %s --out %s\" while the server is stopped", s.keyFlags(), filepath.Join(s.cfg.Data, credentialsName))
}

// fileKey is what is wrong with the key of the credentials file.
type fileKey struct {
	note string
	bad  bool // it opens nothing
}

// lookAtFile compares the credentials file, if it is there, with the store's
// keys. Others may have rotated or disabled its key.
func lookAtFile(path string, keys []tributary.AccessKey, a *auth.Auth, now tributary.Millis) fileKey {
	in, err := readCredentials(path)
	if errors.Is(err, os.ErrNotExist) {
		return fileKey{}
	} else if err != nil {
		return fileKey{err.Error(), true}
	}
	i := slices.IndexFunc(keys, func(k tributary.AccessKey) bool { return k.ID == in.AccessKeyID })
	its := "its key " + in.AccessKeyID
	if i < 0 {
		return fileKey{its + " is not in the store", true}
	}
	has, err := a.HasSecret(keys[i], in.SecretKey)
	switch {
	case err != nil:
		return fileKey{its + " was sealed with another master key", true}
	case !has:
		return fileKey{its + " has another secret in the store", true}
	case keys[i].Disabled:
		return fileKey{its + " is disabled", true}
	case !keys[i].Good(now):
		return fileKey{its + " expired at " + moment(keys[i].Until), true}
	case keys[i].Until != 0:
		return fileKey{its + " was rotated and is good until " + moment(keys[i].Until), false}
	}
	return fileKey{}
}

// keyFlags are how access-key finds this server's store and master key. A
// database is named without its password.
func (s *server) keyFlags() string {
	flags := "--data " + s.cfg.Data
	if s.cfg.Store != "" {
		flags = "--store " + databaseForm + " " + flags
	}
	if s.cfg.MasterKeyFile != "" {
		flags += " --master-key-file " + s.cfg.MasterKeyFile
	}
	return flags
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
