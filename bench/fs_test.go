package bench

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// B2, B5: every workload runs, in turns with what it is compared to, and leaves nothing behind.
func TestWorkloads(t *testing.T) {
	dir := t.TempDir()
	c := FS{Dirs: []string{dir, dir, dir}, Rounds: 2, Scale: 0.01, Progress: func(text string) { t.Log(text) }}
	rows, err := c.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(Names()) {
		t.Fatalf("%d rows of %d", len(rows), len(Names()))
	}
	for _, r := range rows {
		if r.Rate <= 0 || len(r.Rates) != 2 || r.Latency.P50 > r.Latency.P999 {
			t.Errorf("B2: %+v", r)
		}
		if r.Stale > 0 {
			t.Errorf("%s: stale looks in one directory", r.Name)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("B5: %v, %v", left, err)
	}
}

// B5: also after a failure; and directories that are not one filesystem are refused.
func TestNotOneFilesystem(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	c := FS{Dirs: []string{one, two}, Rounds: 1, Scale: 0.01, Progress: func(string) {}}
	if rows, err := c.Run(context.Background()); err == nil {
		t.Fatalf("got %v", rows)
	}
	for _, dir := range []string{one, two} {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("B5: %v, %v", left, err)
		}
	}
}

// What a workload needs runs before it, and nothing else.
func TestChoose(t *testing.T) {
	chosen, err := FS{Only: []string{"unlink", "mkdir"}}.choose()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, w := range chosen {
		names = append(names, w.name)
	}
	if got := filepath.Join(names...); got != "create + write 4 KiB + close/rename/unlink/mkdir" {
		t.Errorf("got %v", names)
	}
	if _, err := (FS{Only: []string{"fly"}}).choose(); err == nil {
		t.Error("an unknown workload was accepted")
	}
	for _, w := range workloads {
		for _, need := range w.needs {
			if _, err := (FS{Only: []string{need}}).choose(); err != nil {
				t.Errorf("%s needs %s: %v", w.name, need, err)
			}
		}
	}
}

// A look that has to wait counts as one that saw what was before.
func TestSee(t *testing.T) {
	name := filepath.Join(t.TempDir(), "number")
	if got, err := get(name); err != nil || got != 0 {
		t.Fatalf("%d, %v", got, err)
	}
	seen := make(chan int, 1)
	go func() {
		looks, err := see(name, 2)
		if err != nil {
			t.Error(err)
		}
		seen <- looks
	}()
	if err := set(name, 1); err != nil {
		t.Fatal(err)
	}
	if err := set(name, 2); err != nil {
		t.Fatal(err)
	}
	select {
	case looks := <-seen:
		if looks < 1 {
			t.Errorf("%d looks", looks)
		}
	case <-time.After(lookLimit):
		t.Fatal("not seen")
	}
}
