package policy

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// invariant matches a numbered line under the heading.
var invariant = regexp.MustCompile(`(?m)^\s*([A-Z]{1,2}[0-9]{1,2})  `)

// heading is the line above them.
var heading = regexp.MustCompile(`(?m)^// (# )?Invariants`)

// P4: every package says what it is and what always holds in it.
func TestEveryPackageHasADoc(t *testing.T) {
	for _, p := range packages(t) {
		if p.Name == "main" {
			continue // the command line explains itself with --help
		}
		if strings.HasSuffix(p.Name, "test") && !strings.HasPrefix(p.short(), "tests/") {
			continue // a conformance suite tests the invariants of another package
		}
		text, err := os.ReadFile(filepath.Join(p.Dir, "doc.go"))
		if err != nil {
			t.Errorf("P4: %s has no doc.go", p.short())
			continue
		}
		if numbers := invariants(string(text)); len(numbers) == 0 {
			t.Errorf("P4: %s/doc.go has no numbered invariants under the heading \"Invariants\"", p.short())
		}
	}
}

// invariants returns the numbers that a doc.go declares.
func invariants(doc string) []string {
	at := heading.FindStringIndex(doc)
	if at == nil {
		return nil
	}
	list := doc[at[1]:]
	var numbers []string
	for _, m := range invariant.FindAllStringSubmatch(strings.ReplaceAll(list, "//", ""), -1) {
		numbers = append(numbers, m[1])
	}
	return numbers
}

// P4: a number that no test cites is a promise that nobody checks. Tests of the package, of packages below it,
// and those in tests/ count.
func TestEveryInvariantIsCitedByATest(t *testing.T) {
	all := packages(t)
	cited := func(p *pkg, number string) bool {
		word := regexp.MustCompile(`\b` + number + `\b`)
		for _, q := range all {
			near := q == p || strings.HasPrefix(q.ImportPath, p.ImportPath+"/") || strings.HasPrefix(q.short(), "tests/")
			if !near {
				continue
			}
			files := slices.Concat(q.TestGoFiles, q.XTestGoFiles)
			if path.Base(q.short()) != "policy" && (strings.HasSuffix(q.short(), "test") || strings.HasPrefix(q.short(), "tests/")) {
				files = append(files, q.GoFiles...) // conformance suites and harnesses are tests too
			}
			for _, name := range files {
				if name == "doc.go" {
					continue
				}
				if text, err := os.ReadFile(filepath.Join(q.Dir, name)); err == nil && word.Match(text) {
					return true
				}
			}
			if goldenCites(filepath.Join(q.Dir, "testdata"), word) {
				return true
			}
		}
		return false
	}
	for _, p := range all {
		text, err := os.ReadFile(filepath.Join(p.Dir, "doc.go"))
		if err != nil || strings.HasPrefix(p.short(), "tests/") {
			continue // a test keeps its own rules
		}
		for _, number := range invariants(string(text)) {
			if !cited(p, number) {
				t.Errorf("P4: invariant %s of %s is cited by no test", number, p.short())
			}
		}
	}
}

// goldenCites reports whether a golden script below dir has the word.
func goldenCites(dir string, word *regexp.Regexp) bool {
	found := false
	filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(name, ".txt") {
			text, err := os.ReadFile(name)
			found = found || err == nil && word.Match(text)
		}
		return nil
	})
	return found
}

// A name says what it is: these say nothing.
var vague = []string{"util", "utils", "common", "helper", "helpers", "misc", "types", "base", "shared", "lib"}

func TestPackagesHaveNames(t *testing.T) {
	for _, p := range packages(t) {
		for part := range strings.SplitSeq(p.short(), "/") {
			if slices.Contains(vague, part) {
				t.Errorf("package %s: the name %q says nothing about what is in it", p.short(), part)
			}
		}
	}
}

// The tour of the README is what scripts/demo prints, so it has the same commands.
func TestReadmeShowsTheDemo(t *testing.T) {
	commands := func(name string, line *regexp.Regexp) (found []string) {
		text, err := os.ReadFile(filepath.Join(root(t), name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range line.FindAllStringSubmatch(string(text), -1) {
			found = append(found, m[1])
		}
		return found
	}
	shown := commands("README.md", regexp.MustCompile(`(?m)^    \$ (.*)$`))
	run := commands("scripts/demo", regexp.MustCompile(`(?m)^try '(.*)'( \d+)?$`))
	if !slices.Equal(shown, run) {
		t.Errorf("the tour of README.md has the commands\n%s\nscripts/demo has\n%s", strings.Join(shown, "\n"), strings.Join(run, "\n"))
	}
}
