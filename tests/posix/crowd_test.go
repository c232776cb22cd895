package posix

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

var crowdFlag = flag.Int("crowd", 300, "changes of a file that several read at another mount")

// Who reads after a change was acknowledged sees it, though others at the same mount ask for the file's attributes all the
// time: the kernel ignores some of the answers.
func TestCoherenceInACrowd(t *testing.T) {
	w := newWorld(t, true)
	at := func(node int) string { return filepath.Join(cluster.mount(node), w.dir, "f") }
	if got := w.at(1, root).call(0, request{Op: "crowd", Path: at(0), Path2: at(1), A: int64(*crowdFlag)}); len(got.Data) > 0 {
		t.Fatal(string(got.Data))
	}
}

// crowd changes a file by one path, and reads it by another while others read it too. Most changes keep its size; some make
// it longer, and some empty it first.
func crowd(from, to string, changes int) error {
	if err := os.WriteFile(from, make([]byte, 100), 0o644); err != nil {
		return err
	}
	f, err := os.Open(to)
	if err != nil {
		return err
	}
	defer f.Close()
	var stop atomic.Bool
	var all sync.WaitGroup
	defer all.Wait()
	defer stop.Store(true)
	for range 3 {
		all.Go(func() {
			for p := make([]byte, 8192); !stop.Load(); {
				_, _ = f.ReadAt(p, 0)
			}
		})
	}
	text, got := make([]byte, 100), make([]byte, 8192)
	for i := 1; i <= changes; i++ {
		switch {
		case i%50 == 0:
			text = make([]byte, 100)
		case i%3 == 0:
			text = make([]byte, len(text)+97)
		}
		binary.NativeEndian.PutUint64(text, uint64(i))
		binary.NativeEndian.PutUint64(text[len(text)-8:], uint64(i))
		if err := rewrite(from, text, i%50 == 0); err != nil {
			return err
		}
		if n, _ := f.ReadAt(got, 0); n < len(text) || string(got[:len(text)]) != string(text) {
			return fmt.Errorf("change %d: %d bytes that begin with change %d, want %d", i, n, binary.NativeEndian.Uint64(got), len(text))
		}
	}
	return nil
}

// rewrite changes a file's contents in place.
func rewrite(path string, text []byte, empty bool) error {
	flags := os.O_WRONLY
	if empty {
		flags |= os.O_TRUNC
	}
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(text, 0)
	return errors.Join(err, f.Close())
}
