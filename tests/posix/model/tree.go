package model

import (
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"syscall"
)

// Answer is what a call returns: an error number and, if it asks something, the text of what it was told.
type Answer struct {
	Errno syscall.Errno
	Text  string
}

// kind is what an object is.
type kind int

const (
	file kind = iota
	dir
	symlink
)

type object struct {
	kind   kind
	mode   int64
	links  int
	data   []byte
	kids   map[string]*object
	xattrs map[string]string
	parent *object // of a directory
}

// Tree is the filesystem.
type Tree struct {
	root  *object
	slots [Slots]*object
}

// New returns an empty filesystem.
func New() *Tree {
	return &Tree{root: &object{kind: dir, links: 2, kids: map[string]*object{}}}
}

// parent finds the directory of a path's last component.
func (t *Tree) parent(path string) (d *object, name string, errno syscall.Errno) {
	d = t.root
	parts := strings.Split(path, "/")
	for _, part := range parts[:len(parts)-1] {
		next := d.kids[part]
		switch {
		case next == nil, next.kind == symlink:
			return nil, "", syscall.ENOENT
		case next.kind != dir:
			return nil, "", syscall.ENOTDIR
		}
		d = next
	}
	return d, parts[len(parts)-1], 0
}

func (t *Tree) find(path string) (*object, syscall.Errno) {
	d, name, errno := t.parent(path)
	if errno != 0 {
		return nil, errno
	}
	if o := d.kids[name]; o != nil {
		return o, 0
	}
	return nil, syscall.ENOENT
}

// opened is open(2) with O_NOFOLLOW.
func (t *Tree) opened(path string, writing bool) (*object, syscall.Errno) {
	o, errno := t.find(path)
	switch {
	case errno != 0:
		return nil, errno
	case o.kind == symlink:
		return nil, syscall.ELOOP
	case o.kind == dir && writing:
		return nil, syscall.EISDIR
	}
	return o, 0
}

// Do makes a call.
func (t *Tree) Do(s Step) Answer {
	text, errno := t.do(s)
	if errno != 0 {
		return Answer{Errno: errno}
	}
	return Answer{Text: text}
}

func (t *Tree) do(s Step) (string, syscall.Errno) {
	switch s.Op {
	case "create", "mkdir", "symlink":
		return "", t.make(s)
	case "rmdir", "unlink":
		return "", t.remove(s)
	case "link":
		return "", t.link(s)
	case "rename":
		return "", t.rename(s)
	case "write", "append", "truncate", "punch", "zero", "allocate":
		o, errno := t.opened(s.Path, true)
		if errno == 0 {
			o.change(s)
		}
		return "", errno
	case "copy":
		return t.copy(s)
	case "open", "close", "swrite", "sread", "sstat", "struncate":
		return t.slot(s)
	case "chmod", "setxattr", "removexattr", "getxattr", "listxattr":
		return t.attribute(s)
	}
	return t.ask(s)
}

func (t *Tree) make(s Step) syscall.Errno {
	d, name, errno := t.parent(s.Path)
	if errno != 0 {
		return errno
	}
	if d.kids[name] != nil {
		return syscall.EEXIST
	}
	o := &object{mode: s.Arg, links: 1}
	switch s.Op {
	case "mkdir":
		o.kind, o.links, o.kids, o.parent = dir, 2, map[string]*object{}, d
		o.mode &= 0o1777 // the kernel takes the rest off
		d.links++
	case "symlink":
		o.kind, o.mode, o.data = symlink, 0o777, []byte("nowhere")
	}
	d.kids[name] = o
	return 0
}

func (t *Tree) remove(s Step) syscall.Errno {
	d, name, errno := t.parent(s.Path)
	if errno != 0 {
		return errno
	}
	o := d.kids[name]
	switch {
	case o == nil:
		return syscall.ENOENT
	case s.Op == "unlink" && o.kind == dir:
		return syscall.EISDIR
	case s.Op == "rmdir" && o.kind != dir:
		return syscall.ENOTDIR
	case s.Op == "rmdir" && len(o.kids) > 0:
		return syscall.ENOTEMPTY
	}
	d.drop(name)
	return 0
}

// drop takes a name away.
func (d *object) drop(name string) {
	o := d.kids[name]
	delete(d.kids, name)
	if o.links--; o.kind == dir {
		o.links = 0
		d.links--
	}
}

func (t *Tree) link(s Step) syscall.Errno {
	o, errno := t.find(s.Path)
	if errno != 0 {
		return errno
	}
	d, name, errno := t.parent(s.Path2)
	switch {
	case errno != 0:
		return errno
	case d.kids[name] != nil:
		return syscall.EEXIST
	case o.kind == dir:
		return syscall.EPERM
	}
	d.kids[name] = o
	o.links++
	return 0
}

func (d *object) below(o *object) bool {
	for ; d != nil; d = d.parent {
		if d == o {
			return true
		}
	}
	return false
}

func (t *Tree) rename(s Step) syscall.Errno {
	d, name, errno := t.parent(s.Path)
	if errno != 0 {
		return errno
	}
	d2, name2, errno := t.parent(s.Path2)
	if errno != 0 {
		return errno
	}
	const noReplace, exchange = 1, 2
	o, o2 := d.kids[name], d2.kids[name2]
	switch {
	case o == nil:
		return syscall.ENOENT
	case o2 != nil && s.Arg == noReplace:
		return syscall.EEXIST
	case o2 == nil && s.Arg == exchange:
		return syscall.ENOENT
	case o.kind == dir && d2.below(o):
		return syscall.EINVAL
	case o2 != nil && o2.kind == dir && d.below(o2):
		if s.Arg == exchange {
			return syscall.EINVAL
		}
		return syscall.ENOTEMPTY
	case o == o2:
		return 0
	}
	if s.Arg == exchange {
		d.kids[name], d2.kids[name2] = o2, o
		o.move(d, d2)
		o2.move(d2, d)
		return 0
	}
	if o2 != nil {
		switch {
		case o.kind == dir && o2.kind != dir:
			return syscall.ENOTDIR
		case o.kind != dir && o2.kind == dir:
			return syscall.EISDIR
		case len(o2.kids) > 0:
			return syscall.ENOTEMPTY
		}
		d2.drop(name2)
	}
	delete(d.kids, name)
	d2.kids[name2] = o
	o.move(d, d2)
	return 0
}

func (o *object) move(from, to *object) {
	if o.kind == dir {
		from.links--
		to.links++
		o.parent = to
	}
}

// resize makes a file at least, or exactly, so long.
func (o *object) resize(size int64, exactly bool) {
	if grow := size - int64(len(o.data)); grow > 0 {
		o.data = append(o.data, make([]byte, grow)...)
	} else if exactly {
		o.data = slices.Clone(o.data[:size])
	}
}

// change is what calls do to contents.
func (o *object) change(s Step) {
	off, end := s.Off, s.Off+s.Len
	switch s.Op {
	case "append":
		off = int64(len(o.data))
		end = off + s.Len
		fallthrough
	case "write", "swrite":
		o.resize(end, false)
		copy(o.data[off:], s.Data())
	case "truncate", "struncate":
		o.resize(s.Len, true)
	case "allocate":
		o.resize(end, false)
	case "zero":
		o.resize(end, false)
		clear(o.data[off:end])
	case "punch":
		if size := int64(len(o.data)); off < size {
			clear(o.data[off:min(end, size)])
		}
	}
}

// copy is copy_file_range(2) between two files, to twice the offset.
func (t *Tree) copy(s Step) (string, syscall.Errno) {
	from, errno := t.opened(s.Path, false)
	if errno != 0 {
		return "", errno
	}
	to, errno := t.opened(s.Path2, true)
	switch {
	case errno != 0:
		return "", errno
	case from.kind == dir:
		return "", syscall.EISDIR
	case from == to:
		return "", syscall.ETXTBSY // the runners do not try
	}
	size := int64(len(from.data))
	n := max(0, min(s.Len, size-s.Off))
	if n > 0 {
		to.resize(2*s.Off+n, false)
		copy(to.data[2*s.Off:], from.data[s.Off:s.Off+n])
	}
	return fmt.Sprint(n), 0
}

func (t *Tree) slot(s Step) (string, syscall.Errno) {
	if s.Op == "open" {
		if t.slots[s.Slot] != nil {
			return "", syscall.EBUSY
		}
		o, errno := t.opened(s.Path, true)
		if errno == 0 {
			t.slots[s.Slot] = o
		}
		return "", errno
	}
	o := t.slots[s.Slot]
	if o == nil {
		return "", syscall.EBADF
	}
	switch s.Op {
	case "close":
		t.slots[s.Slot] = nil
	case "sread":
		return Sum(o.data), 0
	case "sstat":
		return o.stat(), 0
	default:
		o.change(s)
	}
	return "", 0
}

func (t *Tree) attribute(s Step) (string, syscall.Errno) {
	o, errno := t.find(s.Path)
	if errno != 0 {
		return "", errno
	}
	name := XattrName(s)
	value, has := o.xattrs[name]
	switch {
	case s.Op == "chmod" && o.kind == symlink:
		return "", syscall.ENOENT // it is followed
	case s.Op == "chmod":
		o.mode = s.Arg
	case s.Op == "listxattr":
		return strings.Join(slices.Sorted(maps.Keys(o.xattrs)), " "), 0
	case o.kind == symlink && s.Op == "getxattr":
		return "", syscall.ENODATA
	case o.kind == symlink:
		return "", syscall.EPERM
	case s.Op == "setxattr":
		if o.xattrs == nil {
			o.xattrs = map[string]string{}
		}
		o.xattrs[name] = Sum(s.Data())
	case !has:
		return "", syscall.ENODATA
	case s.Op == "removexattr":
		delete(o.xattrs, name)
	default:
		return value, 0
	}
	return "", 0
}

// XattrName is the attribute that a step is about.
func XattrName(s Step) string { return fmt.Sprint("user.", s.Off) }

// ask answers calls that change nothing.
func (t *Tree) ask(s Step) (string, syscall.Errno) {
	o, errno := t.find(s.Path)
	if errno != 0 {
		return "", errno
	}
	switch s.Op {
	case "stat":
		return o.stat(), 0
	case "readlink":
		if o.kind != symlink {
			return "", syscall.EINVAL
		}
		return string(o.data), 0
	case "list":
		if o.kind != dir {
			return "", map[bool]syscall.Errno{true: syscall.ENOENT, false: syscall.ENOTDIR}[o.kind == symlink]
		}
		return strings.Join(slices.Sorted(maps.Keys(o.kids)), " "), 0
	}
	if o, errno = t.opened(s.Path, false); errno != 0 { // read, holes
		return "", errno
	}
	if o.kind == dir {
		return "", syscall.EISDIR
	}
	return Sum(o.data), 0
}

func (o *object) stat() string {
	return Stat([]string{"file", "dir", "symlink"}[o.kind], o.mode, o.links, int64(len(o.data)))
}

// Stat is the answer to stat, sstat: of a directory the size does not matter.
func Stat(kind string, mode int64, links int, size int64) string {
	if kind == "dir" {
		size = 0
	}
	return fmt.Sprintf("%s %o links %d size %d", kind, mode, links, size)
}

// Sum is the answer to what reads a whole file.
func Sum(data []byte) string {
	return fmt.Sprintf("%d bytes, crc %08x", len(data), crc32.ChecksumIEEE(data))
}

// Paths returns all paths of the tree, for a comparison of everything.
func (t *Tree) Paths() (all []string) {
	var visit func(o *object, at string)
	visit = func(o *object, at string) {
		for _, name := range slices.Sorted(maps.Keys(o.kids)) {
			all = append(all, at+name)
			visit(o.kids[name], at+name+"/")
		}
	}
	visit(t.root, "")
	return all
}

// All returns the steps that ask for everything that there is, at one node.
func (t *Tree) All(node int) (p Program) {
	for _, path := range t.Paths() {
		p = append(p, Step{Node: node, Op: "stat", Path: path, Path2: "-"}, Step{Node: node, Op: "listxattr", Path: path, Path2: "-"})
		switch o, _ := t.find(path); o.kind {
		case dir:
			p = append(p, Step{Node: node, Op: "list", Path: path, Path2: "-"})
		case file:
			p = append(p, Step{Node: node, Op: "read", Path: path, Path2: "-"})
		}
	}
	return p
}
