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
	"strconv"
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

// weave returns the texts of all files that have mutants, by path below root, with the mutants that are numbered from 1.
func weave(t *testing.T, mutants []mutant) map[string]string {
	t.Helper()
	sources, out := map[string]*source{}, map[string]string{}
	for i, m := range mutants {
		for _, e := range m.edits {
			if sources[e.file] == nil {
				text, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(e.file)))
				if err != nil {
					t.Fatal(err)
				}
				if sources[e.file], err = parse(e.file, string(text)); err != nil {
					t.Fatal(err)
				}
			}
			if err := sources[e.file].add(i+1, e); err != nil {
				t.Errorf("%q: %v", m.name, err)
			}
		}
	}
	for path, s := range sources {
		text, err := s.weave()
		if err != nil {
			t.Errorf("MU1: %s with its mutants: %v", path, err)
		}
		out[path] = text
	}
	return out
}

// build compiles the tests of each package that catches mutants, with all mutants in them, and returns the directory of
// the binaries.
func build(t *testing.T) string {
	t.Helper()
	dir, replace := t.TempDir(), map[string]string{}
	put := func(path, text string) {
		replace[filepath.Join(root(t), filepath.FromSlash(path))] = filepath.Join(dir, strings.ReplaceAll(path, "/", "_"))
		if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(path, "/", "_")), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range weave(t, table) {
		put(path, text)
	}
	put("tests/mutants/alive/alive.go", switchSource)
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, m := range table {
		pkg, _ := tests(m.by)
		name := binary(dir, pkg)
		if _, err := os.Stat(name); err == nil {
			continue
		}
		cmd := exec.Command("go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", overlay, "-o", name, pkg)
		cmd.Dir = root(t)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("MU1: %s does not compile with the mutants in it (mutantN is the N-th of the table): %v\n%s", pkg, err, out)
		}
	}
	return dir
}

// tests returns the package and the pattern of the tests by.
func tests(by string) (pkg, pattern string) {
	if by == simulation {
		return "./tests/sim", "TestSim$"
	}
	pkg, pattern, _ = strings.Cut(by, " ")
	return pkg, pattern
}

// binary is where the compiled tests of a package are.
func binary(dir, pkg string) string { return filepath.Join(dir, filepath.Base(pkg)+".test") }

// run runs the tests by with a mutant alive, or none, and returns what they said. One processor each: there are as many
// at once as there are processors, and the simulation meets its seeds in their order.
func run(t *testing.T, dir, by string, number int, seeds string) (string, time.Duration, error) {
	pkg, pattern := tests(by)
	args := []string{"-test.run", pattern, "-test.timeout=15m", "-test.failfast"}
	if by == simulation {
		args = append(args, "-seeds="+seeds, "-stop")
	}
	cmd := exec.Command(binary(dir, pkg), args...)
	cmd.Dir = filepath.Join(root(t), pkg)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "DFS_MUTANT="+strconv.Itoa(number))
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
	}
	weave(t, table)
}

// MU1: a mutant is a copy of its function, whatever that looks like.
func TestWeave(t *testing.T) {
	const text = "package p\n\nfunc (*T[K]) f(a, _ int, more ...string) (n int) {\n\treturn a\n}\n\nfunc g(T) {\n\tpanic(1)\n}\n"
	s, err := parse("p.go", text)
	if err != nil {
		t.Fatal(err)
	}
	for n, e := range []edit{{"p.go", "return a", "return -a"}, {"p.go", "panic(1)", ""}, {"p.go", "turn a", "turn 7"}} {
		if err := s.add(n+1, e); err != nil {
			t.Fatal(err)
		}
	}
	if s.add(4, edit{"p.go", "package p", "package q"}) == nil || s.add(5, edit{"p.go", "func", ""}) == nil {
		t.Error("MU1: an edit outside of a function, or of a text that is there twice, is taken")
	}
	const want = `package p; import alive_ "dfs/tests/mutants/alive"

func (arg1_ *T[K]) f(a, arg2_ int, more ...string) (n int) {` +
		` switch alive_.Mutant { case 1: return arg1_.f_mutant1(a, arg2_, more...); case 3: return arg1_.f_mutant3(a, arg2_, more...); };` +
		" \n\treturn a\n}\n\nfunc g(arg1_ T) { switch alive_.Mutant { case 2: g_mutant2(arg1_); return; }; \n\tpanic(1)\n}\n" + `
//line mutant1.go:1
func (arg1_ *T[K]) f_mutant1(a, arg2_ int, more ...string) (n int) {
	return -a
}

//line mutant3.go:1
func (arg1_ *T[K]) f_mutant3(a, arg2_ int, more ...string) (n int) {
	return 7
}

//line mutant2.go:1
func g_mutant2(arg1_ T) {
	
}
`
	if got, err := s.weave(); err != nil || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
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
		"flag provided but not defined: -seeds\n":              false,
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

// line is a row of the table that a run prints.
type line struct {
	name, by, caught string
	took             time.Duration
}

// MU2: each mutant is caught by those who must. MU3: without a bug the tests pass; else everything would count as caught.
func TestMutantsAreCaught(t *testing.T) {
	if !*allFlag {
		t.Skip("this takes minutes: make mutants")
	}
	began := time.Now()
	dir := build(t)
	compiled := time.Since(began).Round(time.Second)
	var mu sync.Mutex
	var lines []line
	t.Cleanup(func() {
		slices.SortFunc(lines, func(a, b line) int { return cmp.Compare(a.name, b.name) })
		for _, l := range lines {
			fmt.Printf("%-66s %-18s %6.1fs  %s\n", l.name, l.by, l.took.Seconds(), l.caught)
		}
		fmt.Printf("%d of %d mutants caught in %v, %v of it to compile\n", len(lines), len(table), time.Since(began).Round(time.Second), compiled)
	})
	done := map[string]bool{}
	for i, m := range table {
		if !done[m.by] {
			done[m.by] = true
			t.Run("none by "+m.by, func(t *testing.T) {
				t.Parallel()
				if out, _, err := run(t, dir, m.by, 0, "50"); err != nil {
					t.Errorf("MU3: fails as it is: %v\n%s", err, out)
				}
			})
		}
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			text, took, err := run(t, dir, m.by, i+1, *seedsFlag)
			caught, problem := verdict(text, err)
			if problem != "" {
				t.Errorf("%s (mutant %d, %s, %v)", problem, i+1, m.by, took)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, line{m.name, m.by, caught, took})
		})
	}
}
