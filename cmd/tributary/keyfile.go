package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"tributary"
	"tributary/awswire"
	"tributary/front/api"
)

// keyFile is a file that a new key is to be written to.
type keyFile struct {
	path string
	text string              // what is there
	old  awswire.Credentials // the key in it that the new one replaces
}

// openKeyFile refuses a file that is there already, unless it holds the key that
// is rotated.
func openKeyFile(path, rotated string) (*keyFile, error) {
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("--out %s: there is no folder %s", path, filepath.Dir(path))
	}
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return &keyFile{path: path}, nil
	}
	if rotated == "" {
		return nil, fmt.Errorf("--out %s is there already: move it away, or name another file", path)
	}
	text, err := os.ReadFile(path)
	old, _ := readCredentials(path)
	if err != nil || old.AccessKeyID != rotated {
		return nil, fmt.Errorf("--out %s is there already, and has not the access key %s: move it away, or name another file", path, rotated)
	}
	return &keyFile{path: path, text: string(text), old: old}, nil
}

// write puts a key into the file, in the place of the old one if that is there.
func (f *keyFile) write(k awswire.Credentials, region string) error {
	if f.text == "" {
		return writeSecret(f.path, credentialsText(k, region))
	}
	return writeSecret(f.path, strings.NewReplacer(f.old.AccessKeyID, k.AccessKeyID, f.old.SecretKey, k.SecretKey).Replace(f.text))
}

// newKeyFlags are those of a command that makes a key.
type newKeyFlags struct {
	keyFlags
	Out string `help:"File to write the key to, for its owner alone, instead of printing it. It must not be there; rotate replaces the old key in it." placeholder:"FILE"`
}

// create has make make a key, and hands it out.
func (f *newKeyFlags) create(e *env, rotated string, make func(api.AccessKeys) (tributary.AccessKey, string, error)) error {
	var file *keyFile
	if f.Out != "" {
		var err error
		if file, err = openKeyFile(f.Out, rotated); err != nil {
			return err
		}
	}
	return f.with(e, func(keys api.AccessKeys) error {
		k, secret, err := make(keys)
		if err != nil {
			return err
		}
		if file == nil {
			return f.printNew(e, &k, secret)
		}
		if err := file.write(credentialsOf(&k, secret), f.Region); err != nil {
			return errors.Join(err, f.printNew(e, &k, secret)) // else nobody would know it
		}
		if f.JSON {
			return f.print(e, k)
		}
		_, err = fmt.Fprintf(e.stderr, "the access key %s is in %s\n", k.ID, f.Out)
		return err
	})
}
