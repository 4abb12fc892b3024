package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tributary"
	"tributary/awswire"
)

func TestMasterKey(t *testing.T) {
	dir := t.TempDir()
	if _, err := masterKey("", dir, 1, false); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "master.key")+" is missing") {
		t.Errorf("a store with keys and no master key: %v", err)
	}
	if _, err := masterKey("", dir, 1, true); err == nil || !strings.Contains(err.Error(), `"tributary access-key create --offline --new-master-key --store `+databaseForm+" --data "+dir+`"`) {
		t.Errorf("a node without the master key: %v", err)
	}
	first, err := masterKey("", dir, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	again, err := masterKey("", dir, 1, false)
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("read again as %x, %v, want %x", again, err, first)
	}
	info, err := os.Stat(filepath.Join(dir, "master.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := masterKey(filepath.Join(dir, "none"), dir, 0, false); err == nil {
		t.Error("a named key that is not there was made")
	}
	if err := os.WriteFile(filepath.Join(dir, "bad"), []byte("00ff"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := masterKey(filepath.Join(dir, "bad"), dir, 0, false); err == nil || !strings.Contains(err.Error(), "32 bytes") {
		t.Errorf("a short key: %v", err)
	}
}

// dataServer is a server on a folder that may hold something, not running.
func dataServer(t *testing.T, data string) (*server, error) {
	t.Helper()
	c := usualSettings(data)
	c.Warehouse = "none"
	return newServer(t.Context(), &c, slog.New(slog.DiscardHandler))
}

// keys gives the ids of a store's access keys, and closes the server.
func keys(t *testing.T, data string) []string {
	t.Helper()
	s, err := dataServer(t, data)
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.store.AccessKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, k := range list {
		ids = append(ids, k.ID)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	return ids
}

// TestFirstKeyFileFirst ends the first start before the credentials file is
// written: no key may be in the store by then, for nobody would know it.
func TestFirstKeyFileFirst(t *testing.T) {
	data := t.TempDir()
	path := filepath.Join(data, credentialsName)
	if err := os.Mkdir(path, 0o700); err != nil { // in the way of the file
		t.Fatal(err)
	}
	if _, err := dataServer(t, data); err == nil {
		t.Fatal("the server started without a place for its credentials")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	ids := keys(t, data)
	key, err := readCredentials(path)
	if err != nil || fmt.Sprint(ids) != "["+key.AccessKeyID+"]" {
		t.Errorf("keys %v, in the file %s, %v", ids, key.AccessKeyID, err)
	}
}

// TestFirstKeyOfFile ends the first start after the credentials file is
// written: the next one takes the file's key.
func TestFirstKeyOfFile(t *testing.T) {
	data := t.TempDir()
	want := awswire.Credentials{AccessKeyID: "AKIAFROMTHEFILE00000", SecretKey: "a secret/of+the file"}
	if err := writeSecret(filepath.Join(data, credentialsName), credentialsText(want, "us-east-1")); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, func(c *serveCmd) { c.Warehouse, c.Data = "none", data })
	if code, _, stderr := tool(t, nil, "pool", "create", "--server", s.url(), "--data", data, "by the key of the file"); code != 0 {
		t.Error(stderr)
	}
	var said bytes.Buffer
	if s.greet(&said); strings.Contains(said.String(), want.SecretKey) {
		t.Errorf("the greeting shows a secret that is not new:\n%s", said.String())
	}
}

// TestAccessKeyCreate gets back in without credentials, and then without the
// master key too.
func TestAccessKeyCreate(t *testing.T) {
	data := t.TempDir()
	create := []string{"access-key", "create", "--offline", "--data", data}
	if code, _, stderr := tool(t, nil, create...); code != 1 || !strings.Contains(stderr, "there is no store") {
		t.Errorf("without a store: %d %s", code, stderr)
	}
	first := keys(t, data)
	path := filepath.Join(data, credentialsName)
	remove := func(path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	remove(path)
	newKey := func() {
		code, text, stderr := tool(t, nil, create...)
		if code != 0 {
			t.Fatal(stderr)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	newKey()
	if ids := keys(t, data); len(ids) != 2 {
		t.Errorf("keys %v, at first %v", ids, first)
	}
	tryKey(t, data)

	toFile := append(create, "--out", path)
	if code, _, stderr := tool(t, nil, toFile...); code != 1 || !strings.Contains(stderr, "--out "+path+" is there already") {
		t.Errorf("a file in the way: %d %s", code, stderr)
	}
	remove(path)
	greetingOfLostKey(t, data)
	if code, stdout, stderr := tool(t, nil, toFile...); code != 0 || stdout != "" || !strings.Contains(stderr, path) {
		t.Errorf("written: %d %s%s", code, stdout, stderr)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info, err)
	}
	tryKey(t, data)

	remove(filepath.Join(data, "master.key"))
	if _, err := dataServer(t, data); err == nil || !strings.Contains(err.Error(), "(3 of them)") {
		t.Errorf("a start without the master key: %v", err)
	}
	if _, err := os.Stat(filepath.Join(data, "master.key")); err == nil {
		t.Error("a master key was made that opens nothing")
	}
	// What the message says: another master key, and an access key with it.
	if err := writeSecret(filepath.Join(data, "master.key"), strings.Repeat("5a", tributary.MasterKeyLength)+"\n"); err != nil {
		t.Fatal(err)
	}
	newKey()
	tryKey(t, data)
}

// greetingOfLostKey: a start without the credentials file says how to get one.
func greetingOfLostKey(t *testing.T, data string) {
	t.Helper()
	s, err := dataServer(t, data)
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	s.greet(&said)
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(said.String(), `credentials (missing; make a key with "tributary access-key create --offline --data `+data+` --out `+filepath.Join(data, credentialsName)+`" while the server is stopped)`) || strings.Contains(said.String(), "AWS_SHARED_CREDENTIALS_FILE") {
		t.Errorf("%s", said.String())
	}
}

// TestDataNotAllowed: what cannot be read names its path, once.
func TestDataNotAllowed(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	data := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(data, 0); err != nil {
		t.Fatal(err)
	}
	_, err := dataServer(t, data)
	if err == nil || !strings.Contains(err.Error(), data) || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("%v", err)
	}
}

// tryKey uses the key of the credentials file on a server, beside which no
// other process may make keys.
func tryKey(t *testing.T, data string) {
	t.Helper()
	c := usualSettings(data)
	c.Warehouse = "none"
	s, err := newServer(t.Context(), &c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	if code, _, stderr := tool(t, nil, "pool", "create", "--server", s.url(), "--data", data, "by a new key"); code != 0 {
		t.Error(stderr)
	}
	if code, _, stderr := tool(t, nil, "access-key", "create", "--offline", "--data", data); code != 1 || !strings.Contains(stderr, "is in use by another tributary") {
		t.Errorf("beside a server: %d %s", code, stderr)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
