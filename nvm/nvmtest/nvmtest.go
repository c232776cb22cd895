// Package nvmtest holds the tests that every implementation of nvm.Dir passes. They check what can be
// seen without a crash; what a crash leaves is checked on nvm.Strict.
//
// Invariants
//
//	NT1  a test uses only the Dir it is given, and leaves nothing open.
package nvmtest

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"dfs/errs"
	"dfs/nvm"
)

// Run runs all tests; open returns an empty directory.
func Run(t *testing.T, open func(t *testing.T) nvm.Dir) {
	for name, test := range map[string]func(*testing.T, nvm.Dir){
		"CreateIsZeroed":    createIsZeroed,
		"WriteParts":        writeParts,
		"Bounds":            bounds,
		"Names":             names,
		"ReadOnly":          readOnly,
		"Extend":            extend,
		"RemovedButOpen":    removedButOpen,
		"ManyReaders":       manyReaders,
		"MorePartsThanOnce": moreParts,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, err error, kind errs.Kind) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error %v, want %v", err, kind)
	}
}

func create(t *testing.T, d nvm.Dir, name string, size int64) nvm.File {
	t.Helper()
	f, err := d.Create(name, size)
	must(t, err)
	return f
}

func read(t *testing.T, f nvm.File, off int64, n int) []byte {
	t.Helper()
	p := make([]byte, n)
	got, err := f.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return p[:got]
}

// N4: a new file has its size and is zero.
func createIsZeroed(t *testing.T, d nvm.Dir) {
	f := create(t, d, "a", 10_000)
	if got := read(t, f, 0, 20_000); !bytes.Equal(got, make([]byte, 10_000)) {
		t.Fatalf("N4: read %d bytes, or they are not zero", len(got))
	}
	if _, err := f.ReadAt(make([]byte, 1), 10_000); !errors.Is(err, io.EOF) {
		t.Fatalf("read behind the end: %v, want EOF", err)
	}
	must(t, f.Close())
}

func writeParts(t *testing.T, d nvm.Dir) {
	f := create(t, d, "a", 10_000)
	must(t, f.WriteAt(4090, []byte("hello"), nil, []byte(" "), []byte("world")))
	must(t, f.Persist())
	if got := read(t, f, 4089, 13); string(got) != "\x00hello world\x00" {
		t.Fatalf("read %q", got)
	}
	must(t, f.WriteAt(4095, []byte("_")))
	must(t, f.WriteAt(4096))
	must(t, f.Close())
	f, err := d.Open("a")
	must(t, err)
	if got := read(t, f, 4090, 11); string(got) != "hello_world" {
		t.Fatalf("read %q after opening again", got)
	}
	must(t, f.Close())
}

// N4: nothing is written outside of a file.
func bounds(t *testing.T, d nvm.Dir) {
	f := create(t, d, "a", 100)
	wantKind(t, f.WriteAt(96, []byte("12345")), errs.Invalid)
	wantKind(t, f.WriteAt(-1, []byte("1")), errs.Invalid)
	must(t, f.WriteAt(95, []byte("12345")))
	must(t, f.Close())
	if err := f.WriteAt(0, []byte("1")); err == nil {
		t.Fatal("write to a closed file succeeded")
	}
	if err := f.Persist(); err == nil {
		t.Fatal("persist of a closed file succeeded")
	}
}

func names(t *testing.T, d nvm.Dir) {
	for _, name := range []string{"b", "c", "a"} {
		must(t, create(t, d, name, 100*int64(name[0])).Close())
	}
	_, err := d.Create("b", 1)
	wantKind(t, err, errs.Exists)
	must(t, d.Remove("c"))
	wantKind(t, d.Remove("c"), errs.NotFound)
	_, err = d.Open("c")
	wantKind(t, err, errs.NotFound)
	_, err = d.OpenWrite("c", 1)
	wantKind(t, err, errs.NotFound)
	must(t, d.Sync())
	got, err := d.List()
	must(t, err)
	if want := []nvm.Entry{{Name: "a", Size: 9700}, {Name: "b", Size: 9800}}; !slices.Equal(got, want) {
		t.Fatalf("list %v, want %v", got, want)
	}
}

func readOnly(t *testing.T, d nvm.Dir) {
	must(t, create(t, d, "a", 100).Close())
	f, err := d.Open("a")
	must(t, err)
	wantKind(t, f.WriteAt(0, []byte("x")), errs.IO)
	if got := read(t, f, 0, 1); got[0] != 0 {
		t.Fatal("the write happened")
	}
	must(t, f.Close())
}

// A file that a crash left short is extended, and keeps what it has.
func extend(t *testing.T, d nvm.Dir) {
	f := create(t, d, "a", 100)
	must(t, f.WriteAt(0, []byte("keep")))
	must(t, f.Close())
	f, err := d.OpenWrite("a", 9000)
	must(t, err)
	must(t, f.WriteAt(8990, []byte("0123456789")))
	if got := read(t, f, 0, 10_000); len(got) != 9000 || string(got[:5]) != "keep\x00" || string(got[8990:]) != "0123456789" {
		t.Fatalf("read %d bytes", len(got))
	}
	must(t, f.Close())
	f, err = d.OpenWrite("a", 100)
	must(t, err)
	if got := read(t, f, 0, 10_000); len(got) != 9000 {
		t.Fatalf("a smaller size cut the file to %d", len(got))
	}
	must(t, f.Close())
}

func removedButOpen(t *testing.T, d nvm.Dir) {
	f := create(t, d, "a", 100)
	must(t, f.WriteAt(0, []byte("still here")))
	must(t, d.Remove("a"))
	if got := read(t, f, 0, 10); string(got) != "still here" {
		t.Fatalf("read %q", got)
	}
	must(t, create(t, d, "a", 50).Close())
	must(t, f.Close())
}

func manyReaders(t *testing.T, d nvm.Dir) {
	f := create(t, d, "a", 1<<16)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			p := make([]byte, 64)
			for i := range 200 {
				off := int64(g*16384 + i*64)
				if err := f.WriteAt(off, bytes.Repeat([]byte{byte(i)}, 64)); err != nil {
					t.Error(err)
				}
				if _, err := f.ReadAt(p, off); err != nil || p[0] != byte(i) || p[63] != byte(i) {
					t.Errorf("goroutine %d: read %v, %v", g, p[0], err)
				}
				if i%50 == 0 {
					if err := f.Persist(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	must(t, f.Close())
}

func moreParts(t *testing.T, d nvm.Dir) {
	var parts [][]byte
	var want []byte
	for i := range 3000 {
		p := bytes.Repeat([]byte{byte(i)}, i%7)
		parts, want = append(parts, p), append(want, p...)
	}
	f := create(t, d, "a", 1<<16)
	must(t, f.WriteAt(5, parts...))
	if got := read(t, f, 5, len(want)); !bytes.Equal(got, want) {
		t.Fatal("parts are not where they belong")
	}
	must(t, f.Close())
}
