package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

const (
	configName     = "config" // of the flag that names the settings file
	variablePrefix = "TRIBUTARY_"
)

// variable is the name of a flag in the environment.
func variable(flag string) string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// settings are what gives a flag its value when the command line does not: the
// environment, else a file.
type settings struct {
	environ map[string]string
	from    map[string]string // by flag: where its value comes from
}

func newSettings(environ []string) *settings {
	s := &settings{environ: map[string]string{}, from: map[string]string{}}
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		s.environ[name] = value
	}
	return s
}

func (s *settings) lookup(name string) (string, bool) {
	value, ok := s.environ[name]
	return value, ok
}

// withConfig adds the settings file that the environment names. Kong reads the
// file before it asks the environment for any flag.
func (s *settings) withConfig(args []string) []string {
	file := s.environ[variable(configName)]
	named := func(arg string) bool { return arg == "--"+configName || strings.HasPrefix(arg, "--"+configName+"=") }
	if file == "" || slices.ContainsFunc(args, named) {
		return args
	}
	return append([]string{"--" + configName, file}, args...)
}

// environment reads TRIBUTARY_LISTEN for --listen.
func (s *settings) environment() kong.Resolver { return &resolver{settings: s} }

// file reads a settings file. The environment beats it.
func (s *settings) file(r io.Reader) (kong.Resolver, error) {
	path := "settings"
	if f, ok := r.(interface{ Name() string }); ok {
		path = f.Name()
	}
	lines, err := readSettings(r)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	return &resolver{settings: s, path: path, lines: lines}, nil
}

var flagPattern = regexp.MustCompile(`--([a-z][a-z0-9-]*)`)

// origin adds to an error about a flag where the flag's value comes from.
func (s *settings) origin(err error) error {
	flag := flagPattern.FindStringSubmatch(err.Error())
	if flag == nil || s.from[flag[1]] == "" {
		return err
	}
	return fmt.Errorf("%w (from %s)", err, s.from[flag[1]])
}

// unknownVariables says which variables of the environment look like settings
// and are none.
func (s *settings) unknownVariables(app *kong.Application) []string {
	var known, out []string
	for _, flag := range settingNames(app) {
		known = append(known, strings.TrimPrefix(variable(flag), variablePrefix))
	}
	for _, name := range slices.Sorted(maps.Keys(s.environ)) {
		if rest, ours := strings.CutPrefix(name, variablePrefix); ours && !slices.Contains(known, rest) {
			out = append(out, fmt.Sprintf("%s is no setting%s", name, didYouMean(rest, known, variablePrefix+"%s")))
		}
	}
	return out
}

// notSettings are flags that the command line alone can give.
var notSettings = []string{"help", "version"}

// settingNames are the flags that the environment and a file can give.
func settingNames(app *kong.Application) []string {
	names := map[string]bool{}
	_ = kong.Visit(app, func(v kong.Visitable, next kong.Next) error {
		if f, ok := v.(*kong.Flag); ok && !slices.Contains(notSettings, f.Name) {
			names[f.Name] = true
		}
		return next(nil)
	})
	return slices.Sorted(maps.Keys(names))
}

// setting is a line of a settings file.
type setting struct {
	name, value string
	line        int
}

// readSettings reads lines "name = value". Empty lines and lines that begin
// with # say nothing. An error begins with the number of its line.
func readSettings(r io.Reader) (map[string]setting, error) {
	out := map[string]setting{}
	lines := bufio.NewScanner(r)
	n := 1
	for ; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("%d: not of the form name = value: %q", n, line)
		}
		name = strings.TrimSpace(name)
		if first, twice := out[name]; twice {
			return nil, fmt.Errorf("%d: %q is set already, in line %d", n, name, first.line)
		}
		out[name] = setting{name: name, value: strings.TrimSpace(value), line: n}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%d: %w", n, err)
	}
	return out, nil
}

// resolver gives flags their values: those of the environment, else those of a
// file.
type resolver struct {
	*settings
	path  string
	lines map[string]setting
}

// Validate refuses a name in the file that no flag has.
func (r *resolver) Validate(app *kong.Application) error {
	known := settingNames(app)
	byLine := slices.SortedFunc(maps.Values(r.lines), func(a, b setting) int { return cmp.Compare(a.line, b.line) })
	for _, s := range byLine {
		if s.name == configName {
			return fmt.Errorf("%s:%d: %q: one file cannot name another", r.path, s.line, s.name)
		}
		if !slices.Contains(known, s.name) {
			return fmt.Errorf("%s:%d: unknown setting %q%s", r.path, s.line, s.name, didYouMean(s.name, known, "%q"))
		}
	}
	return nil
}

// Resolve gives a flag's value. A flag may name a variable of others, in its
// tag "fallback", that counts when nothing was said for tributary.
func (r *resolver) Resolve(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
	if slices.Contains(notSettings, f.Name) {
		return nil, nil
	}
	if v, ok := r.lookup(variable(f.Name)); ok {
		r.from[f.Name] = variable(f.Name)
		return v, nil
	}
	if s, ok := r.lines[f.Name]; ok {
		r.from[f.Name] = fmt.Sprintf("%s:%d", r.path, s.line)
		return s.value, nil
	}
	if v := r.environ[f.Tag.Get("fallback")]; v != "" {
		r.from[f.Name] = f.Tag.Get("fallback")
		return v, nil
	}
	return nil, nil
}
