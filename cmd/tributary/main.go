// Command tributary is the whole system in one binary. Each subcommand has a
// file of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // from now on a second signal ends the process at once
	}()
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// commands is the command line. A field's tags are its help text.
type commands struct {
	Config       kong.ConfigFlag `placeholder:"FILE" help:"Read settings from a file: lines of the form name = value, named like the flags." type:"existingfile"`
	Serve        serveCmd        `cmd:"" help:"Run the server."`
	Query        queryCmd        `cmd:"" help:"Run a SELECT on the server's warehouse."`
	Pool         poolCmd         `cmd:"" help:"Create, show and set identity pools."`
	Audit        auditCmd        `cmd:"" help:"Print what developers did: who, what, when, from where, how it ended, and what it changed."`
	Backup       backupCmd       `cmd:"" help:"Write a backup of the store to a file, while the server serves."`
	Restore      restoreCmd      `cmd:"" help:"Make a data folder of a backup."`
	Check        checkCmd        `cmd:"" help:"Check a backup, or the store of a stopped server, for damage."`
	AccessKey    accessKeyCmd    `cmd:"" help:"Create, list, rotate, limit, disable and delete developers' access keys."`
	Migrate      migrateCmd      `cmd:"" help:"Bring a database's schema to this version, or show how."`
	MigrateStore migrateStoreCmd `cmd:"" help:"Move a running server's store to a database, or back."`
	Bench        benchCmd        `cmd:"" help:"Measure the server's speed."`
	Version      versionCmd      `cmd:"" help:"Print the version."`

	VersionFlag kong.VersionFlag `name:"version" help:"Print the version."`
}

// env is what a command may use of the world.
type env struct {
	ctx    context.Context
	lookup func(string) (string, bool)
	from   map[string]string // by flag that the command line does not give: where its value comes from
	stdout io.Writer
	stderr io.Writer
}

// exit carries an exit code out of kong, which wants to end the process.
type exit int

// run runs the command line and gives the exit code: 0, 1 for a failure, 2 for
// a command line that is wrong.
func run(ctx context.Context, args []string, environ []string, stdout, stderr io.Writer) (code int) {
	defer func() {
		if p := recover(); p != nil {
			e, ok := p.(exit)
			if !ok {
				panic(p)
			}
			code = int(e)
		}
	}()
	complain := func(err error, more string) { _, _ = fmt.Fprintf(stderr, "tributary: %v\n%s", err, more) }
	s := newSettings(environ)
	parser := newParser(s, stdout, stderr)
	k, err := parser.Parse(s.withConfig(withNegatives(withHelp(args))))
	if err != nil {
		complain(s.origin(wholeList(err, parser.Model)), "(see tributary --help)\n")
		return 2
	}
	if k.Command() == "serve" {
		for _, text := range s.unknownVariables(parser.Model) {
			complain(errors.New(text), "")
		}
	}
	if err := k.Run(&env{ctx: ctx, lookup: s.lookup, from: s.from, stdout: stdout, stderr: stderr}); err != nil {
		if errors.As(err, new(settingError)) {
			err = s.origin(err)
		}
		complain(err, "")
		return 1
	}
	return 0
}

func newParser(s *settings, stdout, stderr io.Writer) *kong.Kong {
	parser, err := kong.New(new(commands),
		kong.Name("tributary"),
		kong.Description("User data sync with the wire of Amazon Cognito Sync, a change stream, and its warehouse.\n\nEvery setting is a flag, an environment variable (its name is beside the flag) and a line of the --config file."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.ValueFormatter(helpText),
		kong.Vars{"version": versionText()},
		kong.Configuration(s.file),
		kong.Resolvers(s.environment()),
	)
	if err != nil {
		panic(err) // the command line's own declaration is wrong
	}
	return parser
}

// helpText is a flag's help with its other spellings and its default.
func helpText(v *kong.Value) string {
	if v.Flag == nil || slices.Contains(notSettings, v.Name) {
		return v.Help
	}
	notes := []string{"$" + variable(v.Name)}
	if fallback := v.Tag.Get("fallback"); fallback != "" {
		notes = append(notes, "$"+fallback)
	}
	if v.HasDefault {
		notes = append(notes, "default: "+v.Default)
	}
	return strings.TrimSuffix(v.Help, ".") + " (" + strings.Join(notes, ", ") + ")."
}

// withHelp lets "help serve" say "serve --help".
func withHelp(args []string) []string {
	if len(args) > 0 && args[0] == "help" {
		return append(slices.Clone(args[1:]), "--help")
	}
	return args
}

var negativePattern = regexp.MustCompile(`^-[0-9.]`)

// withNegatives joins a flag with the negative value that follows it: kong would
// take it for another flag, and the flag's own check would not see it.
func withNegatives(args []string) []string {
	var out []string
	for i, arg := range args {
		if i > 0 && negativePattern.MatchString(arg) && flagPattern.MatchString(args[i-1]) && !strings.Contains(args[i-1], "=") {
			out[len(out)-1] += "=" + arg
			continue
		}
		out = append(out, arg)
	}
	return out
}

// wholeList names all commands where kong names the first ones.
func wholeList(err error, app *kong.Application) error {
	if !strings.HasPrefix(err.Error(), "expected one of") || !strings.HasSuffix(err.Error(), "...") {
		return err
	}
	var names []string
	for _, c := range app.Children {
		names = append(names, strconv.Quote(c.Name))
	}
	return fmt.Errorf("expected one of %s", strings.Join(names, ", "))
}
