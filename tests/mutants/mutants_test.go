package mutants

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	allFlag   = flag.Bool("all", false, "run the tests against every mutant, which takes minutes")
	seedsFlag = flag.String("seeds", "400", "how many seeds the simulation has to catch one")
)

// root is the top of the tree.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// overlay writes the mutant's files and returns the file that tells the compiler of them.
func (m *mutant) overlay(t *testing.T) string {
	t.Helper()
	dir, texts := t.TempDir(), map[string]string{}
	for _, e := range m.edits {
		path := filepath.Join(root(t), filepath.FromSlash(e.file))
		text, ok := texts[path]
		if !ok {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != 1 {
			t.Fatalf("MU1: %s has this %d times, it must be there once: %q", e.file, n, e.old)
		}
		texts[path] = strings.Replace(text, e.old, e.new, 1)
	}
	replace := map[string]string{}
	for path, text := range texts {
		replace[path] = filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(replace[path], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// command is the run of the tests by, over the changed files if there are any.
func command(by, overlay, seeds string) []string {
	args := []string{"test", "-count=1", "-vet=off", "-timeout=5m", "-ldflags=-s -w"}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	if by == simulation {
		return append(args, "./tests/sim", "-run", "TestSim$", "-args", "-seeds="+seeds, "-stop")
	}
	pkg, tests, _ := strings.Cut(by, " ")
	return append(args, pkg, "-run", tests, "-failfast")
}

// run runs the tests by and returns what they said. One processor each: there are as many at once as there are
// processors, and the simulation meets its seeds in their order.
func run(t *testing.T, by, overlay, seeds string) (string, time.Duration, error) {
	cmd := exec.Command("go", command(by, overlay, seeds)...)
	cmd.Dir = root(t)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	began := time.Now()
	out, err := cmd.CombinedOutput()
	return string(out), time.Since(began).Round(time.Second / 10), err
}

// MU1: the table fits the code.
func TestTableFitsTheCode(t *testing.T) {
	names := map[string]bool{}
	for _, m := range table {
		if names[m.name] {
			t.Errorf("MU1: two mutants are called %q", m.name)
		}
		names[m.name] = true
		t.Run(m.name, func(t *testing.T) { m.overlay(t) })
	}
}

// MU3: without a bug the tests pass; else everything would count as caught.
func TestNothingIsNotCaught(t *testing.T) {
	if !*allFlag {
		t.Skip("this takes minutes: make mutants")
	}
	done := map[string]bool{}
	for _, m := range table {
		if done[m.by] {
			continue
		}
		done[m.by] = true
		t.Run(m.by, func(t *testing.T) {
			t.Parallel()
			if out, _, err := run(t, m.by, "", "20"); err != nil {
				t.Errorf("MU3: fails as it is: %v\n%s", err, out)
			}
		})
	}
}

var (
	seedThatFailed = regexp.MustCompile(`(?m)seed (\d+), after .*\n\s*(.*)`)
	testThatFailed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
)

// verdict says what caught a mutant, or why nothing did.
func verdict(text string, err error) (by, problem string) {
	switch {
	case strings.Contains(text, "panic: test timed out"):
		return "", "MU2: no test failed in time"
	case err == nil:
		return "", "MU2: it survives"
	case strings.Contains(text, "[build failed]") || strings.Contains(text, "[setup failed]"):
		return "", "MU1: it does not compile:\n" + text
	}
	if f := seedThatFailed.FindStringSubmatch(text); f != nil {
		return "seed " + f[1] + ": " + f[2], ""
	}
	if f := testThatFailed.FindAllStringSubmatch(text, -1); f != nil {
		return f[len(f)-1][1], ""
	}
	if _, after, ok := strings.Cut(text, "panic: "); ok {
		line, _, _ := strings.Cut(after, "\n")
		return "panic: " + line, ""
	}
	return "", "MU2: the tests did not run:\n" + text
}

// A verdict is what a test said: never a build that failed, a time that was up or a process that was killed.
func TestVerdict(t *testing.T) {
	failed := exec.ErrNotFound
	for text, caught := range map[string]bool{
		"FAIL\tdfs/shards [build failed]\nFAIL":                false,
		"panic: test timed out after 5m0s\n--- FAIL: TestA":    false,
		"signal: killed\nFAIL\tdfs/tests/sim\t9s":              false,
		"--- FAIL: TestA (0.1s)\n    --- FAIL: TestA/7 (0.0s)": true,
		"panic: V1: what must not be\n\ngoroutine 1":           true,
		"seed 7, after 1s of virtual time:\nW1: no":            true,
	} {
		if by, problem := verdict(text, failed); (by != "") != caught || (problem == "") != caught {
			t.Errorf("of %q the verdict is %q, %q", text, by, problem)
		}
	}
	if by, problem := verdict("ok", nil); by != "" || problem == "" {
		t.Errorf("tests that pass catch something: %q", by)
	}
}

// MU2: each mutant is caught by those who must.
func TestMutantsAreCaught(t *testing.T) {
	if !*allFlag {
		t.Skip("this takes minutes: make mutants")
	}
	type line struct {
		name, by string
		took     time.Duration
	}
	var mu sync.Mutex
	var lines []line
	began := time.Now()
	t.Cleanup(func() {
		slices.SortFunc(lines, func(a, b line) int { return cmp.Compare(a.name, b.name) })
		for _, l := range lines {
			fmt.Printf("caught in %5.1fs: %s\n                 by %s\n", l.took.Seconds(), l.name, l.by)
		}
		fmt.Printf("%d of %d mutants caught in %v\n", len(lines), len(table), time.Since(began).Round(time.Second))
	})
	for _, m := range table {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			text, took, err := run(t, m.by, m.overlay(t), *seedsFlag)
			by, problem := verdict(text, err)
			if problem != "" {
				t.Errorf("%s (%s, %v)", problem, m.by, took)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, line{m.name, by, took})
		})
	}
}
