package posix

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"
)

// Suites of others that are on the machine: built, but nowhere near this source.
var (
	pjdfstest = flag.String("pjdfstest", "", "directory of pjdfstest, with its program built in it")
)

// outcome is what came of one part of a suite.
type outcome struct {
	part                    string
	passed, failed, skipped int
	took                    time.Duration
	failures                []string
}

// showTable prints a table, and fails the test for what failed.
func showTable(t *testing.T, suite string, all []outcome) {
	t.Helper()
	var b strings.Builder
	tab := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(tab, "%s\tpassed\tfailed\tskipped\tseconds\t\n", suite)
	total := outcome{part: "all"}
	for _, o := range all {
		total.passed, total.failed, total.skipped, total.took = total.passed+o.passed, total.failed+o.failed, total.skipped+o.skipped, total.took+o.took
		total.failures = append(total.failures, o.failures...)
	}
	for _, o := range append(all, total) {
		fmt.Fprintf(tab, "%s\t%d\t%d\t%d\t%.0f\t\n", o.part, o.passed, o.failed, o.skipped, o.took.Seconds())
	}
	tab.Flush()
	fmt.Println(b.String())
	for _, f := range total.failures {
		t.Errorf("%s: %s", suite, f)
	}
}

// command runs a program in a directory of a mount, with a limit, after which it and what it started are asked to end, and
// then ended (PX1).
func command(dir string, limit time.Duration, env []string, name string, args ...string) (string, int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		group := -cmd.Process.Pid
		time.AfterFunc(5*time.Second, func() { _ = syscall.Kill(group, syscall.SIGKILL) })
		return syscall.Kill(group, syscall.SIGTERM)
	}
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("not done after %v", limit)
	}
	return string(out), cmd.ProcessState.ExitCode(), err
}

// inParallel calls fn for all items, a few at a time, and adds up what it returns by part.
func inParallel(items []string, fn func(item string) outcome) []outcome {
	parts := map[string]*outcome{}
	var order []string
	var mu sync.Mutex
	var all sync.WaitGroup
	slots := make(chan struct{}, 2)
	for _, item := range items {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			began := time.Now()
			o := fn(item)
			mu.Lock()
			defer mu.Unlock()
			sum := parts[o.part]
			if sum == nil {
				sum = &outcome{part: o.part}
				parts[o.part] = sum
				order = append(order, o.part)
			}
			sum.passed, sum.failed, sum.skipped = sum.passed+o.passed, sum.failed+o.failed, sum.skipped+o.skipped
			sum.took += time.Since(began)
			sum.failures = append(sum.failures, o.failures...)
		})
	}
	all.Wait()
	slices.Sort(order)
	var sums []outcome
	for _, part := range order {
		sums = append(sums, *parts[part])
	}
	return sums
}

// expected marks in a test's output what is known to fail.
const expected = "# TO" + "DO"

var tapLine = regexp.MustCompile(`(?m)^(not )?ok \d+(.*)$`)

// pjdfstest, at one mount, and then with each of its calls at another of the three: its program is replaced by one
// that goes to the same directory at the next mount first.
func TestPjdfstest(t *testing.T) {
	if *pjdfstest == "" {
		t.Skip("make posix PJDFSTEST=dir runs it")
	}
	everywhere(t, func(w *world) {
		suite, err := filepath.Abs(*pjdfstest)
		if err != nil {
			t.Fatal(err)
		}
		if w.spread {
			suite = spreadOut(t, suite)
		}
		var files []string
		err = filepath.WalkDir(filepath.Join(suite, "tests")+"/", func(path string, d fs.DirEntry, err error) error {
			if strings.HasSuffix(path, ".t") {
				files = append(files, path)
			}
			return err
		})
		if err != nil || len(files) == 0 {
			t.Fatalf("no tests in %s: %v", suite, err)
		}
		showTable(t, "pjdfstest", inParallel(files, func(file string) outcome {
			o := outcome{part: filepath.Base(filepath.Dir(file))}
			name := o.part + "/" + filepath.Base(file)
			out, _, err := command(filepath.Join(cluster.mount(0), w.dir), 10*time.Minute, nil, "sh", file)
			if err != nil {
				o.failed, o.failures = o.failed+1, append(o.failures, fmt.Sprintf("%s: %v", name, err))
			}
			for _, m := range tapLine.FindAllStringSubmatch(out, -1) {
				if m[1] == "" || strings.Contains(m[2], expected) {
					o.passed++
					continue
				}
				o.failed, o.failures = o.failed+1, append(o.failures, name+": "+m[0])
			}
			return o
		}))
	})
}

// spreadOut makes a copy of the suite whose program goes from mount to mount.
func spreadOut(t *testing.T, suite string) string {
	t.Helper()
	dir := filepath.Join(cluster.dir, "pjdfstest")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "tests"), os.DirFS(filepath.Join(suite, "tests"))); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf(`#!/bin/sh
here=$(pwd)
cd "%s/c/mnt$(($$ %% %d + 1))/${here#%s/c/mnt?/}" 2>/dev/null
exec "%s" "$@"
`, cluster.dir, mounts, cluster.dir, filepath.Join(suite, "pjdfstest"))
	if err := os.WriteFile(filepath.Join(dir, "pjdfstest"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
