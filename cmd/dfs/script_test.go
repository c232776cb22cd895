package main

import (
	"context"
	"errors"
	"flag"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dfs/control"
	"dfs/mountpoint"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("rewrite", false, "rewrite the golden parts of the scripts in testdata")

// TestMain lets the scripts run dfs as a command of its own process.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"dfs": main})
}

// TestScripts runs the scripts of testdata: every message that a user reads is in one of them.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		UpdateScripts:       *update,
		Setup: func(e *testscript.Env) error {
			e.Setenv("TZ", "UTC")
			e.Defer(func() { leaveNothing(e.WorkDir) })
			return nil
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "fuse": // this machine can mount
				f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
				if err == nil {
					f.Close()
				}
				return err == nil, nil
			case "root":
				return os.Geteuid() == 0, nil
			}
			return false, nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			// exits N COMMAND...: run dfs and expect its exit code.
			"exits": func(ts *testscript.TestScript, _ bool, args []string) {
				want, args := args[0], args[1:]
				if len(args) > 1 && args[0] == "join-with" { // the token is in a file
					args = append([]string{"join", strings.TrimSpace(ts.ReadFile(args[1]))}, args[2:]...)
				}
				err := ts.Exec("dfs", args...)
				if got := exitText(err); got != want {
					ts.Fatalf("exit code %s, want %s", got, want)
				}
			},
			// join FILE ARGS...: dfs join with the token in the file.
			"join": func(ts *testscript.TestScript, _ bool, args []string) {
				token := strings.TrimSpace(ts.ReadFile(args[0]))
				ts.Check(ts.Exec("dfs", append([]string{"join", token}, args[1:]...)...))
			},
			// await PATTERN COMMAND...: run dfs until its output matches, for at most half a minute.
			"await": func(ts *testscript.TestScript, _ bool, args []string) {
				want := regexp.MustCompile("(?m)" + args[0])
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				deadline := time.After(30 * time.Second)
				for ts.Exec("dfs", args[1:]...) != nil || !want.MatchString(ts.ReadFile("stdout")) {
					select {
					case <-tick.C:
					case <-deadline:
						ts.Fatalf("dfs %q does not print %s", args[1:], want)
					}
				}
			},
			// address NAME: set NAME to an address on loopback where nobody listens.
			"address": func(ts *testscript.TestScript, _ bool, args []string) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				ts.Check(err)
				ts.Setenv(args[0], l.Addr().String())
				ts.Check(l.Close())
			},
			// die DIR: kill the node of the data directory with SIGKILL.
			"die": func(ts *testscript.TestScript, _ bool, args []string) {
				pid, err := control.Holder(ts.MkAbs(args[0]))
				if err != nil || pid == 0 || pid == os.Getpid() {
					ts.Fatalf("no node to kill: %d, %v", pid, err)
				}
				ts.Check(syscall.Kill(pid, syscall.SIGKILL))
			},
			// detach DIR: take away whatever dfs is mounted there.
			"detach": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(mountpoint.Detach(ts.MkAbs(args[0])))
			},
		},
	})
}

// leaveNothing takes away mounts and clusters that a failed script left below dir.
func leaveNothing(dir string) {
	mounts, _ := mountpoint.List()
	for _, m := range mounts {
		if m.Type == mountpoint.Type && strings.HasPrefix(m.Path, dir+"/") {
			mountpoint.Detach(m.Path)
		}
	}
	locks, _ := filepath.Glob(filepath.Join(dir, "*", "node*", "data", control.LockName))
	for _, lock := range locks {
		if pid, err := control.Holder(filepath.Dir(lock)); err == nil && pid > 0 && pid != os.Getpid() {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// exitText is the exit code of a finished command.
func exitText(err error) string {
	var ended *exec.ExitError
	switch {
	case err == nil:
		return "0"
	case errors.As(err, &ended):
		return strconv.Itoa(ended.ExitCode())
	}
	return "of " + err.Error()
}

// The same voice from a call within the process: run returns the exit code and touches nothing else.
func TestRunReturnsCodes(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for want, args := range map[int][]string{
		exitOK:         {"version"},
		exitUsage:      {"no-such-command"},
		exitNotRunning: {"status", "--data", t.TempDir()},
		exitFailed:     {"dev", "stop", t.TempDir()},
	} {
		if got := run(context.Background(), args, null, null, null); got != want {
			t.Errorf("dfs %v: exit code %d, want %d", args, got, want)
		}
	}
}
