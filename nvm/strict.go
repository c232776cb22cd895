package nvm

import (
	"bytes"
	"encoding/binary"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"dfs/errs"
)

const (
	pageSize = 4096
	wordSize = 8
)

// Strict is a Dir in memory that knows what is durable and what is not, fails on demand, and is the
// same in every run.
type Strict struct {
	mu       sync.Mutex
	now      map[string]*strictFile
	durable  map[string]*strictFile // by the names that a crash cannot take away
	capacity int64
	ops      int
	hook     Hook
}

// strictFile holds pages that were never written as nil. A page in now is the same array as in durable
// if it is persisted, and is copied before it is written.
type strictFile struct {
	name         string
	size         int64 // as it is now
	durableSize  int64
	now, durable []*[pageSize]byte
	lost         map[int]bool // pages whose last Persist failed: only a new write makes them dirty again (N5)
}

// NewStrict returns an empty directory.
func NewStrict() *Strict {
	return &Strict{now: make(map[string]*strictFile), durable: make(map[string]*strictFile), capacity: 1 << 62}
}

// SetCapacity bounds the sum of the sizes of the files.
func (s *Strict) SetCapacity(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.capacity = n
}

// Crash returns the directory as a power failure may leave it: all that is durable, and of the rest
// what rng picks. With a nil rng everything survives, as when only the process dies. s stays as it is.
func (s *Strict) Crash(rng *rand.Rand) *Strict {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := NewStrict()
	c.capacity = s.capacity
	names := maps.Clone(s.durable)
	maps.Copy(names, s.now)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		f, was := s.now[name], s.durable[name]
		if f != was && rng != nil && rng.IntN(2) == 0 {
			f = was // the directory is as it was
		}
		if f != nil {
			f = f.crash(rng)
			c.now[name], c.durable[name] = f, f
		}
	}
	return c
}

// crash returns the file as a power failure may leave it.
func (f *strictFile) crash(rng *rand.Rand) *strictFile {
	c := &strictFile{name: f.name, size: f.size, now: slices.Clone(f.now)}
	if rng != nil {
		if f.size != f.durableSize {
			c.size = []int64{f.durableSize, f.size, f.durableSize + rng.Int64N(f.size-f.durableSize)}[rng.IntN(3)]
		}
		for i := range c.now {
			if f.now[i] != f.durable[i] {
				c.now[i] = crashPage(f.durable[i], f.now[i], rng)
			}
		}
	}
	c.now = c.now[:pages(c.size)]
	if cut := c.size % pageSize; cut != 0 && c.now[len(c.now)-1] != nil {
		p := *c.now[len(c.now)-1]
		clear(p[cut:])
		c.now[len(c.now)-1] = &p
	}
	c.durable, c.durableSize = slices.Clone(c.now), c.size
	return c
}

func pages(size int64) int { return int((size + pageSize - 1) / pageSize) }

// crashPage mixes a page: often all of it is there or nothing, else each word is or is not (N2).
func crashPage(durable, now *[pageSize]byte, rng *rand.Rand) *[pageSize]byte {
	switch rng.IntN(4) {
	case 0:
		return durable
	case 1:
		return now
	}
	var p [pageSize]byte
	if durable != nil {
		p = *durable
	}
	var coins uint64
	for i := 0; i < pageSize; i += wordSize {
		if i%(64*wordSize) == 0 {
			coins = rng.Uint64()
		}
		if coins&1 != 0 {
			binary.LittleEndian.PutUint64(p[i:], binary.LittleEndian.Uint64(now[i:]))
		}
		coins >>= 1
	}
	return &p
}

// Create makes a file.
func (s *Strict) Create(name string, size int64) (File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.begin(Op{Verb: Create, Name: name, Len: int(size)}); err != nil {
		return nil, err
	}
	if s.now[name] != nil {
		return nil, errs.New(errs.Exists, "create %s: already exists", name)
	}
	f := &strictFile{name: name}
	if err := s.extend(f, size); err != nil {
		return nil, err
	}
	s.now[name] = f
	return &strictOpen{s: s, f: f, writable: true}, nil
}

func (s *Strict) extend(f *strictFile, size int64) error {
	used := size - f.size
	for _, other := range s.now {
		used += other.size
	}
	if used > s.capacity {
		return errs.New(errs.NoSpace, "reserve space for %s: %d bytes of %d", f.name, used, s.capacity)
	}
	f.size = size
	f.now = append(f.now, make([]*[pageSize]byte, pages(size)-len(f.now))...)
	f.durable = append(f.durable, make([]*[pageSize]byte, pages(size)-len(f.durable))...)
	return nil
}

// Open opens a file for reading.
func (s *Strict) Open(name string) (File, error) { return s.open(name, false, 0) }

// OpenWrite opens a file for reading and writing.
func (s *Strict) OpenWrite(name string, size int64) (File, error) { return s.open(name, true, size) }

func (s *Strict) open(name string, writable bool, size int64) (File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.begin(Op{Verb: Open, Name: name}); err != nil {
		return nil, err
	}
	f := s.now[name]
	if f == nil {
		return nil, errs.New(errs.NotFound, "open %s: not found", name)
	}
	if f.size < size {
		if err := s.extend(f, size); err != nil {
			return nil, err
		}
	}
	return &strictOpen{s: s, f: f, writable: writable}, nil
}

// List returns the files.
func (s *Strict) List() ([]Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.begin(Op{Verb: List}); err != nil {
		return nil, err
	}
	var all []Entry
	for _, name := range slices.Sorted(maps.Keys(s.now)) {
		all = append(all, Entry{Name: name, Size: s.now[name].size})
	}
	return all, nil
}

// Remove removes a name.
func (s *Strict) Remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.begin(Op{Verb: Remove, Name: name}); err != nil {
		return err
	}
	if s.now[name] == nil {
		return errs.New(errs.NotFound, "remove %s: not found", name)
	}
	delete(s.now, name)
	return nil
}

// Sync makes the names durable.
func (s *Strict) Sync() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.begin(Op{Verb: Sync}); err != nil {
		return err
	}
	s.durable = maps.Clone(s.now)
	return nil
}

// String names the directory.
func (s *Strict) String() string { return "strict" }

// strictOpen is an open file.
type strictOpen struct {
	s        *Strict
	f        *strictFile
	writable bool
	closed   bool
}

func (o *strictOpen) String() string { return o.f.name }

// begin starts an operation on an open file, with s.mu held.
func (o *strictOpen) begin(verb Verb, off int64, n int) (keep int, err error) {
	op := Op{Verb: verb, Name: o.f.name, Off: off, Len: n}
	if o.closed {
		return 0, errs.New(errs.IO, "%v: the file is closed", op)
	}
	return o.s.begin(op)
}

func (o *strictOpen) ReadAt(p []byte, off int64) (int, error) {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	if _, err := o.begin(Read, off, len(p)); err != nil {
		return 0, err
	}
	n := int(min(int64(len(p)), max(0, o.f.size-off)))
	for at := 0; at < n; {
		page, from := int(off+int64(at))/pageSize, int(off+int64(at))%pageSize
		part := p[at:min(n, at+pageSize-from)]
		if src := o.f.now[page]; src != nil {
			copy(part, src[from:])
		} else {
			clear(part)
		}
		at += len(part)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (o *strictOpen) WriteAt(off int64, parts ...[]byte) error {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	n := total(parts)
	keep, err := o.begin(Write, off, int(n))
	switch {
	case !o.writable:
		return errs.New(errs.IO, "write %s: opened for reading", o.f.name)
	case off < 0 || off+n > o.f.size:
		return errs.New(errs.Invalid, "write %s: %d bytes at %d are outside of its %d", o.f.name, n, off, o.f.size)
	case err != nil:
		o.f.write(off, bytes.Join(parts, nil)[:min(keep, int(n))])
		return err
	}
	for _, p := range parts {
		o.f.write(off, p)
		off += int64(len(p))
	}
	return nil
}

func (f *strictFile) write(off int64, p []byte) {
	for len(p) > 0 {
		page, from := int(off/pageSize), int(off%pageSize)
		n := min(len(p), pageSize-from)
		switch {
		case f.now[page] == nil:
			f.now[page] = new([pageSize]byte)
		case f.now[page] == f.durable[page]:
			fresh := *f.now[page]
			f.now[page] = &fresh
		}
		copy(f.now[page][from:], p[:n])
		delete(f.lost, page)
		p, off = p[n:], off+int64(n)
	}
}

func (o *strictOpen) Persist() error {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	_, err := o.begin(Persist, 0, 0)
	f := o.f
	if err == nil {
		f.durableSize = f.size
	} else if f.lost == nil {
		f.lost = make(map[int]bool)
	}
	for i := range f.now {
		switch {
		case f.now[i] == f.durable[i]:
		case err != nil:
			f.lost[i] = true
		case !f.lost[i]:
			f.durable[i] = f.now[i]
		}
	}
	return err
}

func (o *strictOpen) Close() error {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	if o.closed {
		return errs.New(errs.IO, "close %s: the file is closed", o.f.name)
	}
	o.closed = true
	return nil
}
