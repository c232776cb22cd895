package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"dfs/tests/program"
)

var binary string

func TestMain(m *testing.M) {
	if kind := os.Getenv("DFS_TEST_WRITER"); kind != "" {
		if err := writers[kind](os.Getenv("DFS_TEST_DIR")); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(program.Run(func(path string) int { binary = path; return m.Run() }))
}

// cluster is a running cluster of three nodes.
type cluster struct {
	t   testing.TB
	dir string
}

func start(t testing.TB, args ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: filepath.Join(t.TempDir(), "cluster")}
	t.Cleanup(func() {
		if t.Failed() {
			for i := 1; i <= 3; i++ {
				b, _ := os.ReadFile(filepath.Join(c.dir, fmt.Sprint("node", i), "log"))
				t.Logf("log of node %d ends with:\n%s", i, b[max(0, len(b)-3000):])
			}
		}
		if out, err := exec.Command(binary, "dev", "stop", c.dir).CombinedOutput(); err != nil {
			t.Errorf("dev stop: %v\n%s", err, out)
		}
	})
	c.dfs(append([]string{"dev", "start", c.dir}, args...)...)
	return c
}

// dfs runs the binary, which must succeed.
func (c *cluster) dfs(args ...string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		c.t.Fatalf("dfs %v: %v\n%s%s", args, err, out, stderr.Bytes())
	}
	return string(out)
}

// path is a path below the mount of node n, from 1.
func (c *cluster) path(n int, elem ...string) string {
	return filepath.Join(append([]string{c.dir, fmt.Sprint("mnt", n)}, elem...)...)
}

func (c *cluster) read(n int, elem ...string) string {
	c.t.Helper()
	b, err := os.ReadFile(c.path(n, elem...))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

func (c *cluster) write(n int, name, text string) {
	c.t.Helper()
	if err := os.WriteFile(c.path(n, name), []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// run runs a program in a directory, which must succeed.
func run(t testing.TB, dir, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.org", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.org")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// runDFS runs the binary and returns all that it said.
func runDFS(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, args...).CombinedOutput()
	return string(out), err
}
