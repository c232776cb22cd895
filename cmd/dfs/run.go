package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"dfs/advice"
	"dfs/control"
	"dfs/devcluster"
	"dfs/errs"
	"dfs/node"

	"github.com/spf13/cobra"
)

// Exit codes. They are part of the interface: scripts decide on them.
const (
	exitOK          = 0
	exitFailed      = 1   // what was asked for failed
	exitUsage       = 2   // the command line or the configuration is wrong
	exitRefused     = 3   // this machine, directory or disk is not fit; nothing was started
	exitNotRunning  = 4   // no node runs where one was expected
	exitCorrupt     = 5   // stored data fails verification
	exitInterrupted = 130 // by a signal, before it was done
)

const exitCodeHelp = `Exit codes:
  0    done
  1    what was asked for failed
  2    the command line or the configuration is wrong
  3    something here is not fit (mount point, port, disk, clock, /dev/fuse); nothing was started
  4    no node runs where one was expected
  5    stored data fails verification
  130  interrupted
`

// env is what a command gets from outside.
type env struct {
	stdin  io.Reader
	stdout io.Writer // data only
	stderr io.Writer // talk
}

// say prints a line of talk.
func (e *env) say(format string, args ...any) { fmt.Fprintf(e.stderr, "dfs: "+format+"\n", args...) }

// print prints data.
func (e *env) print(format string, args ...any) { fmt.Fprintf(e.stdout, format, args...) }

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	e := &env{stdin, stdout, stderr}
	root := newRoot(e)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	report(stderr, err)
	return exitCode(err)
}

// report prints an error and its hint.
func report(w io.Writer, err error) {
	text := err.Error()
	if errors.Is(err, context.Canceled) {
		text = "interrupted"
	}
	fmt.Fprintf(w, "%s%s\n", devcluster.ErrorPrefix, text)
	if hint := advice.Of(err); hint != "" {
		fmt.Fprintf(w, "%s%s\n", devcluster.HintPrefix, hint)
	}
}

// usage is an error in the command line.
type usage struct{ error }

func (u usage) Unwrap() error { return u.error }

// usageError returns one, with the next command to type.
func usageError(hint, format string, args ...any) error {
	return usage{advice.Add(errs.New(errs.Invalid, format, args...), "%s", hint)}
}

// refused is an error found before anything was started.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

func exitCode(err error) int {
	var mistakes node.Mistakes
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, new(usage)), errors.As(err, &mistakes):
		return exitUsage
	case errors.Is(err, control.ErrNotRunning):
		return exitNotRunning
	case errors.Is(err, errs.Corrupt):
		return exitCorrupt
	case errors.As(err, new(refused)):
		return exitRefused
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}

const rootHelp = `dfs is a filesystem that several machines mount at once: the same files everywhere, every byte on
each of them, and every past moment readable under names like @t=-10m.

Try it on one machine:
  dfs dev start /tmp/dfs            # three nodes, mounted at /tmp/dfs/mnt1 to mnt3
  echo hello > /tmp/dfs/mnt1/file
  cat /tmp/dfs/mnt2/file            # the same file
  cat /tmp/dfs/mnt3/@t=-1m/file     # a minute ago: not there yet
  dfs dev stop /tmp/dfs

` + exitCodeHelp

func newRoot(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:               "dfs",
		Short:             "A replicated filesystem with a past",
		Long:              rootHelp,
		Args:              cobra.ArbitraryArgs,
		RunE:              group,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage{advice.Add(errs.Wrap(errs.Invalid, err, "%s", cmd.CommandPath()), "%s --help", cmd.CommandPath())}
	})
	root.SetHelpCommand(&cobra.Command{Hidden: true, Use: "no-help-command"})
	root.AddCommand(newUp(e), newInit(e), newJoin(e), newToken(e), newNode(e), newDev(e), newStatus(e), newCheck(e), newScrub(e), newDump(e), newBench(e), newVersion(e))
	return root
}

// group is what a command does that only holds others: help, or the word that was meant.
func group(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	hint := cmd.CommandPath() + " --help"
	if cmd.SuggestionsMinimumDistance <= 0 {
		cmd.SuggestionsMinimumDistance = 2
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean: " + cmd.CommandPath() + " " + near[0]
	}
	return usageError(hint, "%s has no command %q", cmd.CommandPath(), args[0])
}

// needArgs wants exactly the named arguments.
func needArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		hint := cmd.CommandPath() + " --help"
		if len(args) < len(names) {
			if example := firstExample(cmd); example != "" {
				hint = "for example: " + example
			}
			return usageError(hint, "%s needs %s", cmd.CommandPath(), strings.Join(names[len(args):], " and "))
		}
		if len(args) > len(names) {
			return usageError(hint, "%s does not take %q", cmd.CommandPath(), args[len(names)])
		}
		return nil
	}
}

// firstExample returns the first command of the examples.
func firstExample(cmd *cobra.Command) string {
	line, _, _ := strings.Cut(strings.TrimSpace(cmd.Example), "\n")
	line, _, _ = strings.Cut(line, "  #")
	return strings.TrimSpace(line)
}

// program is the path of this program, to start it again as a node.
func program() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", errs.Wrap(errs.IO, err, "find the dfs program itself")
	}
	return path, nil
}
