package main

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// configName is the flag that names the settings file.
const configName = "config"

// settingsFile gives the reader of a settings file. The environment, which
// lookup reads, beats the file.
func settingsFile(lookup func(string) (string, bool)) kong.ConfigurationLoader {
	return func(r io.Reader) (kong.Resolver, error) {
		values, err := readSettings(r)
		return &resolver{values: values, lookup: lookup}, err
	}
}

// readSettings reads lines "name = value". Empty lines and lines that begin
// with # say nothing.
func readSettings(r io.Reader) (map[string]string, error) {
	values := map[string]string{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("line %d is not of the form name = value: %q", n, line)
		}
		values[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return values, lines.Err()
}

// environment reads TRIBUTARY_LISTEN for --listen.
func environment(lookup func(string) (string, bool)) kong.Resolver {
	return &resolver{lookup: lookup}
}

// resolver gives flags their values: those of the environment, else those of a
// file.
type resolver struct {
	values map[string]string
	lookup func(string) (string, bool)
}

// Validate refuses a name in the file that no flag has.
func (r *resolver) Validate(app *kong.Application) error {
	known := map[string]bool{}
	_ = kong.Visit(app, func(v kong.Visitable, next kong.Next) error {
		if f, ok := v.(*kong.Flag); ok {
			known[f.Name] = true
		}
		return next(nil)
	})
	for name := range r.values {
		if name == configName {
			return fmt.Errorf("the settings file sets %q: one file cannot name another", name)
		}
		if !known[name] {
			return fmt.Errorf("the settings file sets %q, which no flag is called", name)
		}
	}
	return nil
}

// Resolve gives a flag's value.
func (r *resolver) Resolve(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
	if v, ok := r.lookup("TRIBUTARY_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))); ok {
		return v, nil
	}
	if v, ok := r.values[f.Name]; ok {
		return v, nil
	}
	return nil, nil
}

// byteSize is a size on the command line: 512MiB, 1GiB, or a plain number of bytes.
type byteSize int64

var byteUnits = []struct {
	suffix string
	size   int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"", 1}}

// UnmarshalText reads a size.
func (b *byteSize) UnmarshalText(text []byte) error {
	for _, u := range byteUnits {
		digits, ok := strings.CutSuffix(string(text), u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > (1<<62)/u.size {
			return fmt.Errorf("%q is no size: say 512MiB, 1GiB or a number of bytes", text)
		}
		*b = byteSize(n * u.size)
		return nil
	}
	return nil
}

// String is the size in the largest unit that it is a whole number of.
func (b byteSize) String() string {
	text := strconv.FormatInt(int64(b), 10)
	for _, u := range byteUnits[:len(byteUnits)-1] {
		if n := int64(b); n >= u.size && n%u.size == 0 {
			text = strconv.FormatInt(n/u.size, 10) + u.suffix
		}
	}
	return text
}
