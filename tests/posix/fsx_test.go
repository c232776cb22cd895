package posix

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var fsxFlag = flag.Int("fsx", 2_000, "operations on one file, in each way")

// Random operations on one file: what it holds is compared with an array all the time. With and without mappings at
// one mount, and without them with each operation at another mount.
func TestOneFile(t *testing.T) {
	for _, c := range []struct {
		name   string
		spread bool
		mapped int64
	}{{"plain", false, 0}, {"mapped", false, 1}, {"spread", true, 0}} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c.spread)
			paths := []string{filepath.Join(cluster.mount(0), w.dir, "f")}
			for n := 1; c.spread && n < mounts; n++ {
				paths = append(paths, filepath.Join(cluster.mount(n), w.dir, "f"))
			}
			seed := max(*seedFlag, 1)
			got := w.at(0, root).call(0, request{Op: "fsx", Path: strings.Join(paths, "\n"), A: int64(*fsxFlag), B: seed, C: c.mapped})
			if len(got.Data) > 0 {
				t.Fatalf("-seed %d: %s", seed, got.Data)
			}
		})
	}
}

// fsx is a file, open at one or more mounts, and what it should hold.
type fsx struct {
	rng    *rand.Rand
	files  []*os.File
	want   []byte
	mapped bool
}

const (
	fsxSize = 300_000 // bytes, at most
	fsxMost = 70_000  // in one operation
)

func runFsx(paths []string, ops int, seed uint64, mapped bool) error {
	x := &fsx{rng: rand.New(rand.NewPCG(seed, 4)), mapped: mapped}
	for _, path := range paths {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		defer func() { f.Close() }()
		x.files = append(x.files, f)
	}
	for i := range ops {
		if what, err := x.step(); err != nil {
			return fmt.Errorf("operation %d: %s: %w", i, what, err)
		}
	}
	for _, path := range paths {
		got, err := os.ReadFile(path)
		if err == nil && !bytes.Equal(got, x.want) {
			err = fmt.Errorf("in the end: %d other bytes, want %d", len(got), len(x.want))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// part draws a range of what is there.
func (x *fsx) part() (off, length int) {
	if len(x.want) == 0 {
		return 0, 0
	}
	off = x.rng.IntN(len(x.want))
	return off, min(x.rng.IntN(fsxMost), len(x.want)-off)
}

// grow makes the array at least so long.
func (x *fsx) grow(size int) {
	if more := size - len(x.want); more > 0 {
		x.want = append(x.want, make([]byte, more)...)
	}
}

// step makes one operation at one mount; the others see it when somebody there has asked for the size.
func (x *fsx) step() (string, error) {
	n := x.rng.IntN(len(x.files))
	f := x.files[n]
	off, length := x.part()
	ops := []string{"read", "read", "write", "write", "truncate", "punch", "zero", "copy", "reopen", "append"}
	if x.mapped {
		ops = append(ops, "load", "load", "store", "store")
	}
	op := ops[x.rng.IntN(len(ops))]
	what := fmt.Sprintf("%s of %d at %d of %d, mount %d", op, length, off, len(x.want), n)
	if length == 0 && op != "write" && op != "truncate" && op != "reopen" {
		return what, nil
	}
	err := x.do(op, n, f, off, length)
	st, statErr := x.files[n].Stat()
	if err = errors.Join(err, statErr); err == nil && int(st.Size()) != len(x.want) {
		err = fmt.Errorf("size %d, want %d", st.Size(), len(x.want))
	}
	return what, err
}

func (x *fsx) do(op string, n int, f *os.File, off, length int) error {
	fd := int(f.Fd())
	switch op {
	case "read":
		got := make([]byte, length)
		_, err := f.ReadAt(got, int64(off))
		return errors.Join(err, x.compare(off, got))
	case "write":
		off = x.rng.IntN(fsxSize - fsxMost)
		data := x.bytes(1 + x.rng.IntN(fsxMost))
		x.grow(off + len(data))
		copy(x.want[off:], data)
		_, err := f.WriteAt(data, int64(off))
		return err
	case "append":
		if len(x.want)+length > fsxSize {
			return nil
		}
		g, err := os.OpenFile(f.Name(), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		data := x.bytes(length)
		x.want = append(x.want, data...)
		_, err = g.Write(data)
		return errors.Join(err, g.Close())
	case "truncate":
		size := x.rng.IntN(fsxSize)
		x.grow(size)
		x.want = append([]byte(nil), x.want[:size]...)
		return f.Truncate(int64(size))
	case "punch":
		clear(x.want[off : off+length])
		return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(length))
	case "zero":
		x.grow(off + length)
		clear(x.want[off : off+length])
		return unix.Fallocate(fd, unix.FALLOC_FL_ZERO_RANGE, int64(off), int64(length))
	case "copy":
		return x.copy(fd, off, length)
	case "reopen":
		err := f.Close()
		var openErr error
		x.files[n], openErr = os.OpenFile(f.Name(), os.O_RDWR, 0)
		return errors.Join(err, openErr)
	}
	return x.through(op, fd, off, length)
}

func (x *fsx) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(x.rng.Uint32())
	}
	return b
}

func (x *fsx) compare(off int, got []byte) error {
	for i, b := range got {
		if b != x.want[off+i] {
			return fmt.Errorf("at %d there is %#x, want %#x", off+i, b, x.want[off+i])
		}
	}
	return nil
}

// copy copies within the file, where the ranges do not overlap.
func (x *fsx) copy(fd, off, length int) error {
	to := x.rng.IntN(fsxSize - fsxMost)
	if off < to+length && to < off+length {
		return nil
	}
	data := bytes.Clone(x.want[off : off+length])
	x.grow(to + length)
	copy(x.want[to:], data)
	// The kernel takes the size of the source that it was told last; it does not ask.
	if err := unix.Fstat(fd, new(unix.Stat_t)); err != nil {
		return err
	}
	from, dest := int64(off), int64(to)
	for done := 0; done < length; {
		n, err := unix.CopyFileRange(fd, &from, fd, &dest, length-done, 0)
		if err == nil && n == 0 {
			err = fmt.Errorf("%d of %d bytes were copied", done, length)
		}
		if err != nil {
			return err
		}
		done += n
	}
	return nil
}

// through reads or writes through a mapping.
func (x *fsx) through(op string, fd, off, length int) error {
	start := off &^ 4095
	m, err := unix.Mmap(fd, int64(start), off-start+length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	if op == "load" {
		err = x.compare(off, m[off-start:])
	} else {
		data := x.bytes(length)
		copy(x.want[off:], data)
		copy(m[off-start:], data)
		if x.rng.IntN(2) == 0 {
			err = unix.Msync(m, unix.MS_SYNC)
		}
	}
	return errors.Join(err, unix.Munmap(m))
}
