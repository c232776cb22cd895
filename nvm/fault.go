package nvm

import (
	"fmt"

	"dfs/errs"
)

// Verb says what an operation does.
type Verb string

// The operations of a Strict that are counted and may fail.
const (
	Create  Verb = "create"
	Open    Verb = "open"
	List    Verb = "list"
	Remove  Verb = "remove"
	Sync    Verb = "sync"
	Read    Verb = "read"
	Write   Verb = "write"
	Persist Verb = "persist"
)

// Op is one operation on a Strict.
type Op struct {
	N    int // counts from 0 since the Strict was made
	Verb Verb
	Name string
	Off  int64
	Len  int
}

// String prints the operation without its number.
func (o Op) String() string {
	switch o.Verb {
	case List, Sync:
		return string(o.Verb)
	case Create:
		return fmt.Sprintf("%s %s %d", o.Verb, o.Name, o.Len)
	case Read, Write:
		return fmt.Sprintf("%s %s %d+%d", o.Verb, o.Name, o.Off, o.Len)
	}
	return fmt.Sprintf("%s %s", o.Verb, o.Name)
}

// Hook sees each operation before it happens. If it returns an error, the operation fails with it; of a
// write, the first keep bytes happen all the same. It is called with the Strict locked.
type Hook func(op Op) (keep int, err error)

// SetHook makes h see all operations from now on; nil ends that.
func (s *Strict) SetHook(h Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = h
}

// Ops returns the number of operations so far.
func (s *Strict) Ops() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ops
}

// begin counts an operation, with s.mu held, and asks the hook.
func (s *Strict) begin(op Op) (keep int, err error) {
	op.N = s.ops
	s.ops++
	if s.hook == nil {
		return op.Len, nil
	}
	return s.hook(op)
}

// FailNth makes the operation that is n operations away fail, 0 being the next; those after it are well
// again. The operations are those for which match is true, all if it is nil. half says that half of a
// failing write happens.
func (s *Strict) FailNth(n int, kind errs.Kind, half bool, match func(Op) bool) {
	s.SetHook(func(op Op) (int, error) {
		if match != nil && !match(op) {
			return 0, nil
		}
		n--
		if n != -1 {
			return 0, nil
		}
		keep := 0
		if half {
			keep = op.Len / 2
		}
		return keep, errs.New(kind, "injected: %v", op)
	})
}

// DieAt cuts the power: the operation with the number n and all after it fail. Of that one, if it is a
// write, the first keep bytes happen, without being durable.
func (s *Strict) DieAt(n, keep int) {
	s.SetHook(func(op Op) (int, error) {
		switch {
		case op.N < n:
			return 0, nil
		case op.N == n:
			return keep, errs.New(errs.IO, "power cut: %v", op)
		}
		return 0, errs.New(errs.IO, "power is off: %v", op)
	})
}

// Rot flips bits of a byte of a file, as it lies there and as it is durable, and returns what it is then: what disks do
// now and then by themselves. With no bits to flip it only looks.
func (s *Strict) Rot(name string, off int64, bits byte) byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.now[name]
	if f == nil || off >= f.size || f.now[off/pageSize] == nil {
		return 0
	}
	page, at := off/pageSize, off%pageSize
	was, durable := f.now[page], f.durable[page]
	rotten := *was
	rotten[at] ^= bits
	f.now[page] = &rotten
	switch {
	case durable == was:
		f.durable[page] = &rotten
	case durable != nil:
		d := *durable
		d[at] ^= bits
		f.durable[page] = &d
	}
	return rotten[at]
}
