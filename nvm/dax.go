package nvm

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync"

	"golang.org/x/sys/unix"

	"dfs/errs"
)

// line is what a processor's cache moves to memory at once.
const line = 64

// flusher is how stores become durable on persistent memory. A fence holds for the processor that runs it, and so for
// stores made before it by the same one.
type flusher interface {
	// store copies into the cache.
	store(dst, src []byte)
	// stream copies whole lines past the cache.
	stream(dst, src []byte)
	// flush begins to write the lines that hold dst back.
	flush(dst []byte)
	// fence waits until all that was streamed and flushed is in the domain of persistence.
	fence()
}

// OpenBest opens a directory with the best that works there, and says what that is in words for people: "dax", or
// "file" and why not dax.
func OpenBest(path string) (dir Dir, how string, err error) {
	dir, err = OpenOS(path)
	if err != nil {
		return nil, "", err
	}
	f, why := findFlusher()
	if why == "" {
		why = probe(path)
	}
	if why != "" {
		return dir, fmt.Sprintf("file (%s)", why), nil
	}
	return &daxDir{osDir: osDir{path}, fl: f}, "dax", nil
}

// probe tries what a file in the directory would need. Only this tells: a file system may be mounted with
// the option dax and do without.
func probe(path string) (why string) {
	f, err := os.CreateTemp(path, "probe-")
	if err != nil {
		return "no probe: " + err.Error()
	}
	defer f.Close()
	defer os.Remove(f.Name())
	if err := control(f, func(fd int) error { return unix.Fallocate(fd, 0, 0, pageSize) }); err != nil {
		return "no fallocate: " + err.Error()
	}
	mem, err := mapSync(f, pageSize, true)
	if err != nil {
		return "no MAP_SYNC: " + err.Error()
	}
	_ = unix.Munmap(mem)
	return ""
}

// daxDir is a directory on a DAX file system. Names and sizes are the file system's, as in osDir.
type daxDir struct {
	osDir
	fl flusher
}

func (d *daxDir) Create(name string, size int64) (File, error) {
	f, err := d.osDir.Create(name, size)
	if err != nil {
		return nil, err
	}
	of := f.(*osFile)
	// A page fault makes durable what finding its bytes takes, but a file without any must have its size too.
	err = of.Persist()
	var mapped File
	if err == nil {
		mapped, err = d.mapped(of, true)
	}
	if err != nil {
		_ = of.Close()
		_ = d.Remove(name)
		return nil, err
	}
	return mapped, nil
}

func (d *daxDir) Open(name string) (File, error) {
	f, err := d.osDir.Open(name)
	if err != nil {
		return nil, err
	}
	return d.mapped(f.(*osFile), false)
}

func (d *daxDir) OpenWrite(name string, size int64) (File, error) {
	f, err := d.osDir.OpenWrite(name, size)
	if err == nil {
		err = f.Persist()
	}
	if err != nil {
		return nil, err
	}
	return d.mapped(f.(*osFile), true)
}

// mapped maps a file and closes its descriptor, which the mapping does not need.
func (d *daxDir) mapped(f *osFile, writable bool) (File, error) {
	defer f.File.Close()
	m := &daxFile{name: f.Name(), writable: writable, fl: d.fl, unmap: unix.Munmap}
	if f.size > 0 {
		var err error
		if m.mem, err = mapSync(f.File, int(f.size), writable); err != nil {
			return nil, failed(err, "map", f.Name())
		}
	}
	return m, nil
}

// daxFile is a file in persistent memory. Its writes are durable when they return: they end in a fence of their own,
// for the one who persists may run on another processor, whose fence would say nothing about them.
type daxFile struct {
	name     string
	writable bool
	fl       flusher
	unmap    func([]byte) error

	mu     sync.RWMutex // held shared while mem is used
	closed bool
	mem    []byte
}

func (f *daxFile) String() string { return f.name }

func (f *daxFile) ReadAt(p []byte, off int64) (n int, err error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	switch {
	case f.closed:
		return 0, errs.New(errs.IO, "read %s: the file is closed", f.name)
	case off < 0:
		return 0, errs.New(errs.Invalid, "read %s: at %d", f.name, off)
	case off >= int64(len(f.mem)):
		return 0, io.EOF
	}
	err = f.guard("read", func() { n = copy(p, f.mem[off:]) })
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (f *daxFile) WriteAt(off int64, parts ...[]byte) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	switch n := total(parts); {
	case f.closed || !f.writable:
		return errs.New(errs.IO, "write %s: the file is closed, or open for reading", f.name)
	case off < 0 || off+n > int64(len(f.mem)):
		return errs.New(errs.Invalid, "write %s: %d bytes at %d are outside of its %d", f.name, n, off, len(f.mem))
	case n == 0:
		return nil
	}
	return f.guard("write", func() {
		open := -1
		for _, p := range parts {
			open = f.put(int(off), p, open)
			off += int64(len(p))
		}
		f.flush(open)
		f.fl.fence()
	})
}

// put copies p to off: whole lines past the cache, what is before and behind them through it. Parts may meet within a
// line, so the line stored to last stays open: it is flushed when the next one is begun.
func (f *daxFile) put(off int, p []byte, open int) int {
	for len(p) > 0 {
		n := min(len(p), line-off%line)
		if n == line {
			n = len(p) / line * line
			f.fl.stream(f.mem[off:off+n], p[:n])
		} else {
			if off/line != open {
				f.flush(open)
				open = off / line
			}
			f.fl.store(f.mem[off:off+n], p[:n])
		}
		off, p = off+n, p[n:]
	}
	return open
}

// flush begins to write a line back, if there is one.
func (f *daxFile) flush(l int) {
	if l >= 0 {
		f.fl.flush(f.mem[l*line : min((l+1)*line, len(f.mem))])
	}
}

// Persist has nothing left to do but to say whether the file is there.
func (f *daxFile) Persist() error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed {
		return errs.New(errs.IO, "persist %s: the file is closed", f.name)
	}
	return nil
}

func (f *daxFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return errs.New(errs.IO, "close %s: the file is closed", f.name)
	}
	f.closed = true
	if f.mem == nil {
		return nil
	}
	mem := f.mem
	f.mem = nil
	if err := f.unmap(mem); err != nil {
		return failed(err, "close", f.name)
	}
	return nil
}

// guard makes an error of memory that cannot be read or written any more, which the kernel tells by a signal.
func (f *daxFile) guard(verb string, fn func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			fault, ok := r.(interface{ Addr() uintptr })
			if !ok {
				panic(r)
			}
			err = errs.New(errs.IO, "%s %s: memory failure at %#x", verb, f.name, fault.Addr())
		}
	}()
	fn()
	return nil
}
