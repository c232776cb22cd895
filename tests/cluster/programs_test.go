package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// hashTree returns one hash over the names, modes and contents below dir, and the number of files.
func hashTree(t *testing.T, dir string) (string, int) {
	t.Helper()
	h, count := sha256.New(), 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		info, err := d.Info()
		if err != nil {
			return err
		}
		if rel != "." {
			fmt.Fprintf(h, "%s %v\n", rel, info.Mode())
		}
		if !d.Type().IsRegular() {
			return nil
		}
		count++
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(h, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil)), count
}

// memory returns the resident bytes of each node's process.
func (c *cluster) memory() (all []int64) {
	for n := 1; n <= 3; n++ {
		b, err := os.ReadFile(filepath.Join(c.dir, fmt.Sprint("node", n), "data", "lock"))
		if err != nil {
			c.t.Fatal(err)
		}
		b, err = os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(b)), "statm"))
		if err != nil {
			c.t.Fatal(err)
		}
		pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
		if err != nil {
			c.t.Fatal(err)
		}
		all = append(all, pages*int64(os.Getpagesize()))
	}
	return all
}

const memoryLimit = 400 << 20

// A source tree of about 10,000 files is the same on all mounts, and the nodes stay small; overwriting one
// file again and again does not make them grow.
func TestSourceTree(t *testing.T) {
	src := filepath.Join(strings.TrimSpace(run(t, ".", "go", "env", "GOROOT")), "src")
	want, files := hashTree(t, src)
	if files < 5000 {
		t.Fatalf("only %d files in %s", files, src)
	}
	c := start(t)
	tar := exec.Command("sh", "-c", `mkdir "$1/src" && tar -C "$0" -cf - . | tar -C "$1/src" -xf -`, src, c.path(1))
	if out, err := tar.CombinedOutput(); err != nil {
		t.Fatalf("untar: %v\n%s", err, out)
	}
	for n := 2; n <= 3; n++ {
		if got, count := hashTree(t, c.path(n, "src")); got != want {
			t.Errorf("node %d has another tree: %d files, want %d", n, count, files)
		}
	}
	for n, m := range c.memory() {
		if m > memoryLimit {
			t.Errorf("node %d takes %d MiB after the untar", n+1, m>>20)
		}
	}
	page := make([]byte, 64<<10)
	overwrite := func(times int) []int64 {
		f, err := os.Create(c.path(1, "again"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for range times {
			if _, err := f.WriteAt(page, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		return c.memory()
	}
	overwrite(3000)
	for n, m := range overwrite(6000) {
		if m > memoryLimit {
			t.Errorf("node %d takes %d MiB after overwriting one file", n+1, m>>20)
		}
	}
}

// git and the Go toolchain work in a mount as anywhere.
func TestGitAndGo(t *testing.T) {
	c := start(t)
	origin := filepath.Join(t.TempDir(), "origin")
	if err := os.MkdirAll(filepath.Join(origin, "pkg"), 0o755); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"go.mod":      "module example.org/hello\n\ngo 1.21\n",
		"main.go":     "package main\n\nimport \"example.org/hello/pkg\"\n\nfunc main() { println(pkg.Text) }\n",
		"pkg/text.go": "package pkg\n\nconst Text = \"built in the mount\"\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(origin, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run(t, origin, "git", "init", "-q")
	run(t, origin, "git", "add", ".")
	run(t, origin, "git", "commit", "-qm", "one")

	run(t, c.path(1), "git", "clone", "-q", origin, "hello")
	if out := run(t, c.path(2, "hello"), "git", "-c", "safe.directory=*", "status", "--porcelain"); out != "" {
		t.Errorf("git status on node 2 says %q", out)
	}
	c.write(3, "hello/new.txt", "x")
	run(t, c.path(3, "hello"), "git", "-c", "safe.directory=*", "add", "new.txt")
	run(t, c.path(3, "hello"), "git", "-c", "safe.directory=*", "commit", "-qm", "two")
	if out := run(t, c.path(1, "hello"), "git", "log", "--format=%s"); out != "two\none\n" {
		t.Errorf("git log on node 1 says %q", out)
	}
	run(t, c.path(1, "hello"), "git", "fsck", "--strict")
	run(t, c.path(2, "hello"), "go", "build", "-o", "hello.bin", ".")
	if out := run(t, c.path(3, "hello"), "./hello.bin"); out != "built in the mount\n" {
		t.Errorf("the program built on node 2 says %q on node 3", out)
	}
}
