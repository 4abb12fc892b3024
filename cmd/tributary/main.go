// Command tributary is the whole system in one binary. Each subcommand has a
// file of its own.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
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
	os.Exit(run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
}

// commands is the command line. A field's tags are its help text.
type commands struct {
	Config    kong.ConfigFlag `placeholder:"FILE" help:"Read settings from a file: lines of the form name = value, named like the flags." type:"existingfile"`
	Serve     serveCmd        `cmd:"" help:"Run the server."`
	Query     queryCmd        `cmd:"" help:"Run a SELECT on the server's warehouse."`
	Pool      poolCmd         `cmd:"" help:"Create, show and set identity pools."`
	AccessKey accessKeyCmd    `cmd:"" help:"Create a developer's access key while the server is stopped."`
	Bench     benchCmd        `cmd:"" help:"Measure the server's speed."`
	Version   versionCmd      `cmd:"" help:"Print the version."`
}

// env is what a command may use of the world.
type env struct {
	ctx    context.Context
	lookup func(string) (string, bool)
	stdout io.Writer
	stderr io.Writer
}

// exit carries an exit code out of kong, which wants to end the process.
type exit int

// run runs the command line and gives the exit code: 0, 1 for a failure, 2 for
// a command line that is wrong.
func run(ctx context.Context, args []string, lookup func(string) (string, bool), stdout, stderr io.Writer) (code int) {
	defer func() {
		if p := recover(); p != nil {
			e, ok := p.(exit)
			if !ok {
				panic(p)
			}
			code = int(e)
		}
	}()
	var c commands
	parser, err := kong.New(&c,
		kong.Name("tributary"),
		kong.Description("User data sync with the wire of Amazon Cognito Sync, a change stream, and its warehouse.\n\nEvery setting is a flag, an environment variable TRIBUTARY_... and a line of the --config file."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Configuration(settingsFile(lookup)),
		kong.Resolvers(environment(lookup)),
	)
	if err != nil {
		panic(err) // the command line's own declaration is wrong
	}
	k, err := parser.Parse(withConfig(args, lookup))
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "tributary: %v\n(see tributary --help)\n", err)
		return 2
	}
	if err := k.Run(&env{ctx: ctx, lookup: lookup, stdout: stdout, stderr: stderr}); err != nil {
		_, _ = fmt.Fprintf(stderr, "tributary: %v\n", err)
		return 1
	}
	return 0
}

// withConfig adds the settings file that the environment names. Kong reads the
// file before it asks the environment for any flag.
func withConfig(args []string, lookup func(string) (string, bool)) []string {
	file, _ := lookup("TRIBUTARY_CONFIG")
	named := func(arg string) bool { return arg == "--"+configName || strings.HasPrefix(arg, "--"+configName+"=") }
	if file == "" || slices.ContainsFunc(args, named) {
		return args
	}
	return append([]string{"--" + configName, file}, args...)
}
