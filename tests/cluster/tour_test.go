package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What the README shows: a write here, the read there, the past on every node.
func TestTour(t *testing.T) {
	c := start(t)
	c.write(1, "plan.md", "first\n")
	if got := c.read(2, "plan.md"); got != "first\n" {
		t.Fatalf("node 2 reads %q", got)
	}
	info, err := os.Stat(c.path(3, "plan.md"))
	if err != nil {
		t.Fatal(err)
	}
	then := stamp(info.ModTime())
	c.write(3, "plan.md", "second, longer\n")
	if err := os.Mkdir(c.path(1, "later"), 0o755); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 3; n++ {
		if got := c.read(n, "plan.md"); got != "second, longer\n" {
			t.Errorf("node %d reads %q", n, got)
		}
		for _, past := range []string{"@t=" + then + "/plan.md", "plan.md@t=" + then} {
			if got := c.read(n, past); got != "first\n" {
				t.Errorf("node %d reads %q in %s", n, got, past)
			}
		}
		if _, err := os.Stat(c.path(n, "@t="+then, "later")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("node %d: the past has a directory made later: %v", n, err)
		}
		if err := os.WriteFile(c.path(n, "@t="+then, "plan.md"), nil, 0o644); !errors.Is(err, syscall.EROFS) {
			t.Errorf("node %d: writing to the past: %v", n, err)
		}
		versions, err := os.ReadDir(c.path(n, "@history", "plan.md"))
		if err != nil || len(versions) != 2 {
			t.Fatalf("node %d: history has %d versions (%v): %v", n, len(versions), err, versions)
		}
		if got := c.read(n, "@history", "plan.md", versions[0].Name()); got != "first\n" {
			t.Errorf("node %d: the first version is %q", n, got)
		}
	}
	for _, name := range []string{"@t=2020-01-01", "@t=" + stamp(time.Now().Add(time.Hour)), "@t=nonsense"} {
		if _, err := os.Stat(c.path(2, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	entries, err := os.ReadDir(c.path(1))
	if err != nil || len(entries) != 2 {
		t.Errorf("names of the past show in a listing: %v, %v", entries, err)
	}
	if out := c.dfs("status", "--json", "--data", filepath.Join(c.dir, "node2", "data")); !strings.Contains(out, `"serving"`) {
		t.Errorf("status: %s", out)
	}
}

func stamp(at time.Time) string { return fmt.Sprintf("%d.%09d", at.Unix(), at.Nanosecond()) }

// A reader that follows another node's writes sees them all, in their order over two files (causal order),
// and what was closed is there for whoever opens next.
func TestReaderFollowsWriter(t *testing.T) {
	c := start(t)
	c.write(1, "first", "")
	c.write(1, "second", "")
	const count = 300
	done := make(chan error, 1)
	go func() {
		first, err1 := os.OpenFile(c.path(1, "first"), os.O_WRONLY, 0)
		second, err2 := os.OpenFile(c.path(1, "second"), os.O_WRONLY, 0)
		if err := errors.Join(err1, err2); err != nil {
			done <- err
			return
		}
		defer first.Close()
		defer second.Close()
		for k := 1; k <= count; k++ {
			for _, f := range []*os.File{first, second} {
				if _, err := f.WriteAt(fmt.Appendf(nil, "%08d", k), 0); err != nil {
					done <- err
					return
				}
			}
		}
		done <- nil
	}()
	number := func(n int, name string) (k int) {
		if s := c.read(n, name); s != "" {
			if _, err := fmt.Sscanf(s, "%08d", &k); err != nil {
				t.Fatalf("%s reads %q: %v", name, s, err)
			}
		}
		return k
	}
	last, deadline := 0, time.Now().Add(time.Minute)
	for last < count {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute the reader is at %d of %d", last, count)
		}
		second := number(2, "second")
		first := number(3, "first")
		// What node 2 showed of the second file was written after that much of the first.
		if first < second {
			t.Fatalf("the second file has %d and the first only %d", second, first)
		}
		if second < last {
			t.Fatalf("the second file went back from %d to %d", last, second)
		}
		last = second
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for k := range 50 {
		name := fmt.Sprint("closed", k)
		c.write(1+k%3, name, name)
		if got := c.read(1+(k+1)%3, name); got != name {
			t.Fatalf("%s reads %q on the next node", name, got)
		}
	}
}

// In strict mode every write waits, so it is seen by all when it returns.
func TestStrict(t *testing.T) {
	c := start(t, "--consistency", "strict")
	f, err := os.Create(c.path(1, "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for k := range 100 {
		text := fmt.Sprintf("%04d", k)
		if _, err := f.WriteAt([]byte(text), 0); err != nil {
			t.Fatal(err)
		}
		if got := c.read(2+k%2, "f"); got != text {
			t.Fatalf("after write %s returned, node %d reads %q", text, 2+k%2, got)
		}
	}
}
