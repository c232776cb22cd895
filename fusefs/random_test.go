package fusefs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// model is a dumb filesystem: names and bytes.
type model map[string][]byte

func (m model) clone() model {
	c := maps.Clone(m)
	for name, b := range c {
		c[name] = slices.Clone(b)
	}
	return c
}

// program is a run of random calls, made to the mount and to the model.
type program struct {
	t     *testing.T
	rng   *rand.Rand
	dir   string
	files model
	open  map[string]*os.File
}

const maxFile = 300_000

func (p *program) path(name string) string { return filepath.Join(p.dir, name) }

func (p *program) file(name string) *os.File {
	f := p.open[name]
	if f == nil {
		var err error
		f, err = os.OpenFile(p.path(name), os.O_RDWR|os.O_CREATE, 0o644)
		must(p.t, err)
		p.open[name] = f
		if p.files[name] == nil {
			p.files[name] = []byte{}
		}
	}
	return f
}

func (p *program) close(name string) {
	if f := p.open[name]; f != nil {
		must(p.t, f.Close())
		delete(p.open, name)
	}
}

// grow makes a file of the model at least so large.
func (p *program) grow(name string, size int) []byte {
	if b := p.files[name]; len(b) < size {
		p.files[name] = append(b, make([]byte, size-len(b))...)
	}
	return p.files[name]
}

// step makes one call.
func (p *program) step() {
	name := string(rune('a' + p.rng.IntN(5)))
	off, length := p.rng.IntN(maxFile), 1+p.rng.IntN(1<<p.rng.IntN(18))
	switch p.rng.IntN(14) {
	case 0, 1, 2, 3: // write
		data := bytes.Repeat([]byte{byte(1 + p.rng.IntN(255))}, length)
		_, err := p.file(name).WriteAt(data, int64(off))
		must(p.t, err)
		copy(p.grow(name, off+length)[off:], data)
	case 4: // append
		data := bytes.Repeat([]byte{byte(1 + p.rng.IntN(255))}, length)
		f, err := os.OpenFile(p.path(name), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
		must(p.t, err)
		_, err = f.Write(data)
		must(p.t, err)
		must(p.t, f.Close())
		p.files[name] = append(p.files[name], data...)
	case 5: // truncate
		must(p.t, p.file(name).Truncate(int64(off)))
		p.files[name] = p.grow(name, off)[:off]
	case 6: // punch a hole
		must(p.t, unix.Fallocate(int(p.file(name).Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(length)))
		if b := p.files[name]; off < len(b) {
			clear(b[off:min(off+length, len(b))])
		}
	case 7: // zero
		must(p.t, unix.Fallocate(int(p.file(name).Fd()), unix.FALLOC_FL_ZERO_RANGE, int64(off), int64(length)))
		clear(p.grow(name, off+length)[off:][:length])
	case 8:
		p.close(name)
	case 9: // remove
		if p.files[name] != nil && p.rng.IntN(3) == 0 {
			p.close(name)
			must(p.t, os.Remove(p.path(name)))
			delete(p.files, name)
		}
	case 10: // rename
		to := string(rune('a' + p.rng.IntN(5)))
		if p.files[name] != nil && to != name && p.rng.IntN(3) == 0 {
			p.close(name)
			p.close(to)
			must(p.t, os.Rename(p.path(name), p.path(to)))
			p.files[to] = p.files[name]
			delete(p.files, name)
		}
	default:
		p.check(name)
	}
}

// check compares a range of an open file, or a whole closed one, with the model.
func (p *program) check(name string) {
	f := p.open[name]
	if f == nil {
		got, err := os.ReadFile(p.path(name))
		if !bytes.Equal(got, p.files[name]) || errors.Is(err, fs.ErrNotExist) != (p.files[name] == nil) {
			p.t.Fatalf("%s differs: %d bytes, %v; want %d", name, len(got), err, len(p.files[name]))
		}
		return
	}
	off := p.rng.IntN(maxFile)
	buf := make([]byte, 1+p.rng.IntN(50_000))
	n, err := f.ReadAt(buf, int64(off))
	want := p.files[name][min(off, len(p.files[name])):]
	if err != nil && err != io.EOF || !bytes.Equal(buf[:n], want[:min(len(buf), len(want))]) {
		p.t.Fatalf("%s differs at %d: %d bytes, %v; want %d", name, off, n, err, len(want))
	}
}

// A random program leaves the mount as it leaves a map of byte slices, now and at every moment that was noted on the
// way (U3, U4). The seed is in the name of the test: go test -run 'RandomProgram/7'.
func TestRandomProgram(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := mount(t)
			p := &program{t: t, rng: rand.New(rand.NewPCG(seed, 0)), dir: m.dir, files: model{}, open: map[string]*os.File{}}
			noted := map[string]model{}
			for i := range 1500 {
				p.step()
				if i%100 == 99 {
					for name := range p.open { // what is not closed may not be delivered yet
						must(t, p.open[name].Sync())
					}
					noted[m.moment()] = p.files.clone()
				}
			}
			for name := range p.files {
				p.close(name)
				p.check(name)
			}
			for then, files := range noted {
				past := &program{t: t, dir: filepath.Join(m.dir, "@t="+then), files: files, open: map[string]*os.File{}}
				for _, name := range []string{"a", "b", "c", "d", "e"} {
					past.check(name)
				}
			}
		})
	}
}

// TestRandomMapping is a random program of reads, writes, truncations and accesses through mappings of one file.
func TestRandomMapping(t *testing.T) {
	m := mount(t)
	m.client(t, "^TestClientRandomMapping$")
}

func TestClientRandomMapping(t *testing.T) {
	if clientDir == "" {
		t.Skip("runs in a child process")
	}
	const most = 100_000
	rng := rand.New(rand.NewPCG(1, 1))
	f, err := os.Create(filepath.Join(clientDir, "f"))
	must(t, err)
	var model []byte
	grow := func(size int) { model = append(model, make([]byte, max(0, size-len(model)))...) }
	mapped := func(off, length int, fn func(b []byte)) {
		page := off &^ 4095
		b, err := unix.Mmap(int(f.Fd()), int64(page), off-page+length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		must(t, err)
		fn(b[off-page:])
		must(t, unix.Munmap(b))
	}
	for i := range 1500 {
		off, length := rng.IntN(most), 1+rng.IntN(20_000)
		inside := min(off+length, len(model)) - off
		data := bytes.Repeat([]byte{byte(1 + rng.IntN(255))}, length)
		switch rng.IntN(6) {
		case 0:
			_, err := f.WriteAt(data, int64(off))
			must(t, err)
			grow(off + length)
			copy(model[off:], data)
		case 1:
			if rng.IntN(4) == 0 {
				must(t, f.Truncate(int64(off)))
				grow(off)
				model = model[:off]
			}
		case 2:
			if inside > 0 {
				mapped(off, inside, func(b []byte) { copy(b, data) })
				copy(model[off:off+inside], data)
			}
		case 3:
			if inside > 0 {
				mapped(off, inside, func(b []byte) {
					if !bytes.Equal(b[:inside], model[off:off+inside]) {
						t.Fatalf("step %d: a mapping differs at %d+%d of %d", i, off, inside, len(model))
					}
				})
			}
		case 4: // another handle
			must(t, f.Close())
			f, err = os.OpenFile(f.Name(), os.O_RDWR, 0)
			must(t, err)
		default:
			got := make([]byte, length)
			n, _ := f.ReadAt(got, int64(off))
			if n != max(0, inside) || !bytes.Equal(got[:n], model[min(off, len(model)):][:n]) {
				t.Fatalf("step %d: a read differs at %d+%d of %d", i, off, n, len(model))
			}
		}
	}
	must(t, f.Close())
	if got := read(t, f.Name()); got != string(model) {
		t.Errorf("the file differs in the end: %d bytes, want %d", len(got), len(model))
	}
}
