package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"tributary"
)

// masterKey reads the master key, in hexadecimal, and makes one at the first
// start. A key file that was named must be there: making another one would
// lock out everything that is sealed.
func masterKey(named, data string) ([]byte, error) {
	path := named
	if path == "" {
		path = filepath.Join(data, "master.key")
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && named == "" {
		key := make([]byte, tributary.MasterKeyLength)
		_, _ = rand.Read(key) // never fails
		return key, writeSecret(path, hex.EncodeToString(key)+"\n")
	}
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != tributary.MasterKeyLength {
		return nil, fmt.Errorf("%s is no master key: it must hold %d bytes in hexadecimal", path, tributary.MasterKeyLength)
	}
	return key, nil
}

// writeSecret writes a file that only its owner may read, whole or not at all,
// durably.
func writeSecret(path, text string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // has mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// minFree reads --min-free: a size, a percentage of the disk, or auto.
func minFree(text, dir string) (uint64, error) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return 0, err
	}
	total := disk.Blocks * uint64(disk.Bsize)
	if text == "auto" {
		const usual, share = 1 << 30, 20
		return min(usual, total/share), nil
	}
	if percent, ok := strings.CutSuffix(text, "%"); ok {
		n, err := strconv.ParseFloat(percent, 64)
		if err != nil || n < 0 || n > 100 {
			return 0, fmt.Errorf("--min-free is %q, a percentage must be between 0%% and 100%%", text)
		}
		return uint64(float64(total) * n / 100), nil
	}
	var size byteSize
	if err := size.UnmarshalText([]byte(text)); err != nil {
		return 0, fmt.Errorf("--min-free: %w", err)
	}
	return uint64(size), nil
}

// greet says what is where, and what to try.
func (s *server) greet(w io.Writer) {
	credentials := filepath.Join(s.cfg.Data, credentialsName)
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	say("tributary %s is ready on %s", version, s.url())
	say("  store        %s", filepath.Join(s.cfg.Data, "store"))
	switch {
	case s.warehouse != nil:
		say("  warehouse    %s", filepath.Join(s.cfg.Data, "warehouse.duckdb"))
	default:
		say("  warehouse    none: %s", tributary.Message(s.missing))
	}
	say("  credentials  %s", credentials)
	if s.newKey != nil {
		say("")
		say("A developer access key was created. Its secret is shown this once; the file above keeps it.")
		say("  access key id      %s", s.newKey.AccessKeyID)
		say("  secret access key  %s", s.newKey.SecretKey)
	}
	say("")
	say("Try it with the AWS CLI:")
	say("  export AWS_SHARED_CREDENTIALS_FILE=%s AWS_ENDPOINT_URL=%s", absolute(credentials), s.url())
	say("  aws cognito-identity create-identity-pool --identity-pool-name demo --allow-unauthenticated-identities")
	say("  aws cognito-identity list-identity-pools --max-results 10")
	say("")
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
