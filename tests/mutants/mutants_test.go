package mutants

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
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

// command is the run of the tests that must fail.
func (m *mutant) command(overlay string) []string {
	args := []string{"test", "-count=1", "-vet=off", "-timeout=10m", "-overlay", overlay}
	if m.by == simulation {
		return append(args, "./tests/sim", "-run", "TestSim$", "-args", "-seeds="+*seedsFlag, "-stop")
	}
	pkg, tests, _ := strings.Cut(m.by, " ")
	return append(args, pkg, "-run", tests, "-failfast")
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

var seedThatFailed = regexp.MustCompile(`(?m)seed (\d+), after .*\n\s*(.*)`)

// MU2: each mutant is caught by those who must.
func TestMutantsAreCaught(t *testing.T) {
	if !*allFlag {
		t.Skip("this takes minutes: make mutants")
	}
	for _, m := range table {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("go", m.command(m.overlay(t))...)
			cmd.Dir = root(t)
			cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
			began := time.Now()
			out, err := cmd.CombinedOutput()
			took := time.Since(began).Round(time.Second / 10)
			text := string(out)
			switch {
			case strings.Contains(text, "panic: test timed out"):
				t.Errorf("MU2: %s takes too long (%v)", m.by, took)
			case err == nil:
				t.Errorf("MU2: it survives %s (%v)", m.by, took)
			case strings.Contains(text, "[build failed]") || strings.Contains(text, "[setup failed]"):
				t.Errorf("MU1: it does not compile:\n%s", text)
			case !strings.Contains(text, "--- FAIL") && !strings.Contains(text, "panic:"):
				t.Errorf("MU2: the tests did not run:\n%s", text)
			case seedThatFailed.MatchString(text):
				f := seedThatFailed.FindStringSubmatch(text)
				t.Logf("caught by seed %s in %v: %s", f[1], took, f[2])
			default:
				t.Logf("caught by %s in %v", m.by, took)
			}
		})
	}
}
