package policy

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// forbidden words, in two halves so that this file does not contain them.
var forbidden = []struct{ word, why string }{
	{"/wo" + "rk/", "a path of the machine it was written on"},
	{"/ro" + "ot/", "a path of the machine it was written on"},
	{"proxy.go" + "lang.org", "a registry: the Go command knows where to look"},
	{"sum.go" + "lang.org", "a registry: the Go command knows where to look"},
	{"deb.deb" + "ian.org", "a registry: apt knows where to look"},
	{"registry.np" + "mjs.org", "a registry"},
	{"TO" + "DO", "finish it, or take it out"},
	{"FIX" + "ME", "finish it, or take it out"},
}

// P6: the tree reads the same wherever it is.
func TestTreeNamesNoMachine(t *testing.T) {
	for _, name := range tracked(t) {
		if strings.HasSuffix(name, "go.sum") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root(t), name))
		if err != nil || bytes.IndexByte(text, 0) >= 0 {
			continue // deleted but not yet committed, or not text
		}
		for i, line := range bytes.Split(text, []byte("\n")) {
			for _, f := range forbidden {
				if bytes.Contains(line, []byte(f.word)) {
					t.Errorf("P6: %s:%d has %q: %s", name, i+1, f.word, f.why)
				}
			}
		}
	}
}

// tracked lists the files that belong to the tree.
func tracked(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "-z")
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err == nil {
		return strings.Split(strings.Trim(string(out), "\x00"), "\x00")
	}
	// An unpacked archive has no git: take everything but build output.
	var all []string
	filepath.WalkDir(root(t), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "bin" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if rel, err := filepath.Rel(root(t), path); err == nil && !d.IsDir() {
			all = append(all, rel)
		}
		return nil
	})
	return all
}
