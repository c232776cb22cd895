package cluster

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What rots in the log of a running node is repaired from the others, when it is read and by dfs scrub.
func TestRepair(t *testing.T) {
	c := start(t)
	text := strings.Repeat("the quick brown fox jumps over the lazy dog; ", 3000)
	c.write(1, "fox", text)
	if got := c.read(2, "fox"); got != text {
		t.Fatal("node 2 does not have the file")
	}
	data := filepath.Join(c.dir, "node2", "data")
	rot := func() {
		segments, err := filepath.Glob(filepath.Join(data, "segments", "segment-*"))
		if err != nil || len(segments) == 0 {
			t.Fatalf("no segments: %v", err)
		}
		log, err := os.OpenFile(segments[0], os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		b := make([]byte, 1<<20)
		n, _ := log.ReadAt(b, 0)
		at := bytes.Index(b[:n], []byte("lazy dog; the quick"))
		if at < 0 {
			t.Fatal("the text is not in the log")
		}
		if _, err := log.WriteAt([]byte("busy"), int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	scrub := func(want string) {
		t.Helper()
		if out, err := runDFS("scrub", "--data", data); err != nil || !strings.Contains(out, want) {
			t.Errorf("scrub: %v, %s", err, out)
		}
	}
	scrub(" 0 repaired")
	rot()
	scrub(" 1 repaired")
	scrub(" 0 repaired")
	rot()
	// The kernel has pages of the live file, none of the past one.
	now := time.Now()
	if got := c.read(2, fmt.Sprintf("fox@t=%d.%09d", now.Unix(), now.Nanosecond())); got != text {
		t.Error("damaged data was served")
	}
	scrub(" 0 repaired")
}
