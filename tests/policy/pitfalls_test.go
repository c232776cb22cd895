package policy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	pitfall = regexp.MustCompile(`(?m)^\| ([0-9]+) \|.*$`)
	aTest   = regexp.MustCompile("`([a-z/]+) ((?:Test|Fuzz)[A-Za-z]*)`")
	aMutant = regexp.MustCompile(`"([^"]+)"`)
)

// P7: every known mistake names the tests that would show it, and they exist.
func TestPitfallsHaveTests(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	all := func(pattern string) (text string) {
		files, err := filepath.Glob(filepath.Join(root(t), pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text += read(f)
		}
		return text
	}
	mutants := all("tests/mutants/*.go")
	rows := pitfall.FindAllStringSubmatch(read(filepath.Join(root(t), "docs/pitfalls.md")), -1)
	if len(rows) != 35 {
		t.Errorf("P7: docs/pitfalls.md has %d rows, want 35", len(rows))
	}
	for i, m := range rows {
		row, tests := m[0], aTest.FindAllStringSubmatch(m[0], -1)
		if m[1] != itoa(i+1) {
			t.Errorf("P7: row %d is numbered %s", i+1, m[1])
		}
		if len(tests) == 0 && !strings.Contains(row, "it does not compile") {
			t.Errorf("P7: row %s names no test", m[1])
		}
		for _, c := range tests {
			if !strings.Contains(all(c[1]+"/*_test.go"), "func "+c[2]+"(") {
				t.Errorf("P7: row %s names %s of %s, which is not there", m[1], c[2], c[1])
			}
		}
		for _, c := range aMutant.FindAllStringSubmatch(row, -1) {
			if !strings.Contains(mutants, `"`+c[1]+`"`) {
				t.Errorf("P7: row %s names the mutant %q, which is not there", m[1], c[1])
			}
		}
	}
}
