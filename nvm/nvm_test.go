package nvm_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dfs/errs"
	"dfs/nvm"
	"dfs/nvm/nvmtest"
)

func TestOS(t *testing.T) {
	nvmtest.Run(t, func(t *testing.T) nvm.Dir {
		d, err := nvm.OpenOS(filepath.Join(t.TempDir(), "dir"))
		if err != nil {
			t.Fatal(err)
		}
		return d
	})
}

func TestStrict(t *testing.T) {
	nvmtest.Run(t, func(*testing.T) nvm.Dir { return nvm.NewStrict() })
}

// Errors name the file and have their kinds.
func TestOSErrors(t *testing.T) {
	dir := t.TempDir()
	d, err := nvm.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	// More than any disk has: no space, and no trace of the file.
	_, err = d.Create("huge", 1<<60)
	if !errors.Is(err, errs.NoSpace) || !strings.Contains(err.Error(), filepath.Join(dir, "huge")) {
		t.Fatalf("%v: want no space, naming the file", err)
	}
	if entries, err := d.List(); err != nil || len(entries) != 0 {
		t.Fatalf("left behind: %v, %v", entries, err)
	}
	file := filepath.Join(dir, "plain")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := nvm.OpenOS(file); !errors.Is(err, errs.NotDirectory) {
		t.Fatalf("%v: want not a directory", err)
	}
	if _, err := nvm.OpenOS(filepath.Join(dir, "no", "parent")); !errors.Is(err, errs.NotFound) {
		t.Fatalf("%v: want not found", err)
	}
}

func fill(t *testing.T, f nvm.File, off int64, n int, with byte) {
	t.Helper()
	if err := f.WriteAt(off, bytes.Repeat([]byte{with}, n)); err != nil {
		t.Fatal(err)
	}
}

// N1 and N2: a crash keeps all that was persisted, and of the rest whole words.
func TestCrashKeepsPersistedWords(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	sawOld, sawNew := false, false
	for range 50 {
		s := nvm.NewStrict()
		f, _ := s.Create("a", 20_000)
		fill(t, f, 0, 10_000, 1)
		if err := f.Persist(); err != nil {
			t.Fatal(err)
		}
		if err := s.Sync(); err != nil {
			t.Fatal(err)
		}
		fill(t, f, 4000, 8000, 2)
		c, err := s.Crash(rng).Open("a")
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 20_000)
		if _, err := c.ReadAt(got, 0); err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(got); i += 8 {
			word := binary.LittleEndian.Uint64(got[i:])
			old, fresh := uint64(0x0101010101010101), uint64(0x0202020202020202)
			if i >= 10_000 {
				old = 0
			}
			switch {
			case i < 4000 || i >= 12_000:
				if word != old {
					t.Fatalf("N1: word at %d is %#x, was persisted as %#x", i, word, old)
				}
			case word == old:
				sawOld = true
			case word == fresh:
				sawNew = true
			default:
				t.Fatalf("N2: word at %d is %#x", i, word)
			}
		}
	}
	if !sawOld || !sawNew {
		t.Fatal("crashes never differ")
	}
}

// N3: what is read is a copy, and so is what is written.
func TestNothingIsShared(t *testing.T) {
	s := nvm.NewStrict()
	f, _ := s.Create("a", 8)
	p := []byte("original")
	if err := f.WriteAt(0, p); err != nil {
		t.Fatal(err)
	}
	clear(p)
	for range 2 {
		if _, err := f.ReadAt(p, 0); err != nil || string(p) != "original" {
			t.Fatalf("N3: %q, %v", p, err)
		}
		clear(p)
	}
}

// N1: names, and sizes of files that were not persisted, may or may not survive.
func TestCrashNames(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	seen := make(map[string]bool)
	for range 100 {
		s := nvm.NewStrict()
		f, _ := s.Create("old", 100)
		if err := errors.Join(f.Persist(), s.Sync(), s.Remove("old")); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Create("new", 8192); err != nil {
			t.Fatal(err)
		}
		entries, _ := s.Crash(rng).List()
		for _, e := range entries {
			seen[e.Name] = true
			if e.Name == "new" && e.Size < 8192 {
				seen["short"] = true
			}
		}
		if len(entries) == 0 {
			seen["none"] = true
		}
	}
	for _, want := range []string{"old", "new", "short", "none"} {
		if !seen[want] {
			t.Errorf("no crash showed %q: %v", want, seen)
		}
	}
}

// N5: a later Persist does not make up for one that failed.
func TestFailedPersistIsNotMadeUpFor(t *testing.T) {
	s := nvm.NewStrict()
	f, _ := s.Create("a", 8192)
	if err := errors.Join(f.Persist(), s.Sync()); err != nil {
		t.Fatal(err)
	}
	fill(t, f, 0, 8, 7)
	fill(t, f, 4096, 8, 7)
	s.FailNth(0, errs.IO, false, nil)
	if err := f.Persist(); !errors.Is(err, errs.IO) {
		t.Fatalf("the injected error is %v", err)
	}
	fill(t, f, 4096, 8, 8)
	if err := f.Persist(); err != nil {
		t.Fatal(err)
	}
	lost := false
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		c, _ := s.Crash(rng).Open("a")
		p := make([]byte, 8192)
		if _, err := c.ReadAt(p, 0); err != nil {
			t.Fatal(err)
		}
		if p[4096] != 8 {
			t.Fatal("N1: what was written after the failure and persisted is gone")
		}
		lost = lost || p[0] == 0
	}
	if !lost {
		t.Fatal("N5: the failed persist did no harm")
	}
}

// A failing write may happen in part, and after DieAt nothing works.
func TestFaults(t *testing.T) {
	s := nvm.NewStrict()
	f, _ := s.Create("a", 100)
	s.FailNth(1, errs.NoSpace, true, func(op nvm.Op) bool { return op.Verb == nvm.Write })
	fill(t, f, 0, 8, 1)
	if err := f.WriteAt(8, []byte("12345678")); !errors.Is(err, errs.NoSpace) {
		t.Fatalf("%v", err)
	}
	p := make([]byte, 16)
	if _, err := f.ReadAt(p, 0); err != nil || string(p[8:]) != "1234\x00\x00\x00\x00" {
		t.Fatalf("%q, %v", p, err)
	}
	fill(t, f, 8, 8, 1)
	s.DieAt(s.Ops(), 0)
	for range 3 {
		if err := f.Persist(); !errors.Is(err, errs.IO) {
			t.Fatalf("%v", err)
		}
	}
}

func BenchmarkOSWritePersist4K(b *testing.B) {
	d, err := nvm.OpenOS(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	f, err := d.Create("a", 1<<30)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	p, off := make([]byte, 4096), int64(0)
	for b.Loop() {
		if err := errors.Join(f.WriteAt(off%(1<<30), p), f.Persist()); err != nil {
			b.Fatal(err)
		}
		off += 4096
	}
}

// Long writes are cut into pieces, and nothing of them is lost or written twice.
func TestLongWrites(t *testing.T) {
	dir, err := nvm.OpenOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const piece = 512 << 10
	const size = 4 * piece
	f, err := dir.Create("long", size)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 30 {
		var parts [][]byte
		var want []byte
		for len(want) < size {
			// Lengths around where a piece ends, and some of nothing.
			n := []int{0, 1, 4096, piece / 4, piece - 1, piece, piece + piece/3, rng.IntN(2 * piece)}[rng.IntN(8)]
			n = min(n, size-len(want))
			b := bytes.Repeat([]byte{byte(round + len(parts))}, n)
			parts, want = append(parts, b), append(want, b...)
		}
		if err := f.WriteAt(0, parts...); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, size)
		if _, err := f.ReadAt(got, 0); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("round %d: what was read is not what was written", round)
		}
	}
}
