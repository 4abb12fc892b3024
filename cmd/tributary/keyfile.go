package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"tributary"
	"tributary/awswire"
	"tributary/front/api"
)

// keyFile is a file that a new key is to be written to.
type keyFile struct {
	path string // free of symbolic links
	text string // what is there
	was  os.FileInfo
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
	f, err := readKeyFile(path)
	if err != nil {
		return nil, fmt.Errorf("--out %s is there already, and cannot be used: %w", path, err)
	}
	if f.old.AccessKeyID != rotated {
		return nil, fmt.Errorf("--out %s is there already, and has not the access key %s: move it away, or name another file", path, rotated)
	}
	return f, nil
}

func readKeyFile(path string) (f *keyFile, err error) {
	f = new(keyFile)
	if f.path, err = filepath.EvalSymlinks(path); err != nil { // a link stays, its target is replaced
		return nil, err
	}
	if f.was, err = os.Stat(f.path); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return nil, err
	}
	f.text = string(text)
	f.old, err = readCredentials(f.path)
	return f, err
}

// write puts a key into the file, in the place of the old one if that is there.
func (f *keyFile) write(k awswire.Credentials, region string) error {
	if f.was == nil {
		return writeSecret(f.path, credentialsText(k, region))
	}
	return replaceSecret(f.path, f.replaced(k))
}

// replaced is the file's text with another key in [default]. All else stays.
func (f *keyFile) replaced(k awswire.Credentials) string {
	var out strings.Builder
	profile := ""
	for line := range strings.Lines(f.text) {
		switch name, value := defaultSetting(line, &profile); {
		case name == keyIDSetting && value == f.old.AccessKeyID:
			line = withValue(line, value, k.AccessKeyID)
		case name == secretSetting && value == f.old.SecretKey:
			line = withValue(line, value, k.SecretKey)
		}
		out.WriteString(line)
	}
	return out.String()
}

// withValue puts another value into a setting's line.
func withValue(line, old, value string) string {
	name, rest, _ := strings.Cut(line, "=")
	return name + "=" + strings.Replace(rest, old, value, 1)
}

// narrowed says who could use the file that was replaced and cannot use the new
// one, "" if that is nobody.
func (f *keyFile) narrowed() string {
	const owners = 0o600
	if f.was == nil {
		return ""
	}
	var was []string
	if mode := f.was.Mode().Perm(); mode&^owners != 0 {
		was = append(was, fmt.Sprintf("mode %#o", mode))
	}
	if stat, ok := f.was.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		was = append(was, fmt.Sprintf("the owner %d", stat.Uid))
	}
	if was == nil {
		return ""
	}
	return fmt.Sprintf("%s had %s, now its mode is %#o and its owner %d", f.path, strings.Join(was, " and "), owners, os.Geteuid())
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
		if said := file.narrowed(); said != "" {
			_, _ = fmt.Fprintln(e.stderr, said)
		}
		if f.JSON {
			return f.print(e, k)
		}
		_, err = fmt.Fprintf(e.stderr, "the access key %s is in %s\n", k.ID, f.Out)
		return err
	})
}
