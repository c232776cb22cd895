package fusefs

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"dfs/hlc"
	"dfs/ids"
	"dfs/namespace"
	"dfs/objects"
	reference "dfs/tests/posix/model"
)

var stepsFlag = flag.Int("steps", 80_000, "calls that random programs make without a kernel")

// direct is a mount without a kernel: it does what the kernel would do around the requests that calls are made of.
type direct struct {
	f    *filesystem
	refs []uint64 // nodes that were looked up during a step
}

// directSlot is a file that a program has open.
type directSlot struct {
	d        *direct
	node, fh uint64
}

// machine is three mounts of one store.
type machine struct {
	store  *fake
	mounts [reference.Nodes]*direct
	slots  [reference.Slots]*directSlot
}

func newMachine(t testing.TB) *machine {
	ctx, cancel := context.WithCancel(context.Background())
	m := &machine{store: newFake()}
	t.Cleanup(func() { cancel(); m.store.close() })
	cfg := Config{MountPoint: "/none", Store: m.store, Logger: slog.New(slog.DiscardHandler)}.withDefaults()
	for i := range m.mounts {
		m.mounts[i] = &direct{f: newFilesystem(ctx, cfg)}
	}
	return m
}

func hdr(id uint64) fuse.InHeader { return fuse.InHeader{NodeId: id} }

func failed(s fuse.Status) syscall.Errno { return syscall.Errno(s) }

func (d *direct) lookup(parent uint64, name string) (fuse.EntryOut, syscall.Errno) {
	var out fuse.EntryOut
	h := hdr(parent)
	st := d.f.Lookup(nil, &h, name, &out)
	if st.Ok() {
		d.refs = append(d.refs, out.NodeId)
	}
	return out, failed(st)
}

// parent finds the directory of the last component of a path.
func (d *direct) parent(path string) (uint64, string, syscall.Errno) {
	at := uint64(1)
	parts := strings.Split(path, "/")
	for _, part := range parts[:len(parts)-1] {
		e, errno := d.lookup(at, part)
		switch {
		case errno != 0:
			return 0, "", errno
		case e.Mode&unix.S_IFMT == unix.S_IFLNK:
			return 0, "", syscall.ENOENT
		case e.Mode&unix.S_IFMT != unix.S_IFDIR:
			return 0, "", syscall.ENOTDIR
		}
		at = e.NodeId
	}
	return at, parts[len(parts)-1], 0
}

func (d *direct) find(path string) (fuse.EntryOut, syscall.Errno) {
	dir, name, errno := d.parent(path)
	if errno != 0 {
		return fuse.EntryOut{}, errno
	}
	return d.lookup(dir, name)
}

// open is open(2) with O_NOFOLLOW.
func (d *direct) open(path string, flags uint32) (*directSlot, syscall.Errno) {
	e, errno := d.find(path)
	switch {
	case errno != 0:
		return nil, errno
	case e.Mode&unix.S_IFMT == unix.S_IFLNK:
		return nil, syscall.ELOOP
	case e.Mode&unix.S_IFMT == unix.S_IFDIR:
		return nil, syscall.EISDIR
	}
	in := fuse.OpenIn{InHeader: hdr(e.NodeId), Flags: flags}
	var out fuse.OpenOut
	st := d.f.Open(nil, &in, &out)
	return &directSlot{d: d, node: e.NodeId, fh: out.Fh}, failed(st)
}

func (s *directSlot) close() syscall.Errno {
	st := s.d.f.Flush(nil, &fuse.FlushIn{InHeader: hdr(s.node), Fh: s.fh})
	s.d.f.Release(nil, &fuse.ReleaseIn{InHeader: hdr(s.node), Fh: s.fh})
	return failed(st)
}

func (s *directSlot) attr() (fuse.Attr, syscall.Errno) {
	var out fuse.AttrOut
	st := s.d.f.GetAttr(nil, &fuse.GetAttrIn{InHeader: hdr(s.node)}, &out)
	return out.Attr, failed(st)
}

func (s *directSlot) write(off uint64, data []byte, flags uint32) syscall.Errno {
	in := fuse.WriteIn{InHeader: hdr(s.node), Fh: s.fh, Offset: off, Size: uint32(len(data)), Flags: flags}
	_, st := s.d.f.Write(nil, &in, data)
	return failed(st)
}

func (s *directSlot) read(off uint64, size int) ([]byte, syscall.Errno) {
	buf := make([]byte, size)
	res, st := s.d.f.Read(nil, &fuse.ReadIn{InHeader: hdr(s.node), Fh: s.fh, Offset: off, Size: uint32(size)}, buf)
	if !st.Ok() {
		return nil, failed(st)
	}
	data, st := res.Bytes(buf)
	return data, failed(st)
}

func (s *directSlot) readAll() (string, syscall.Errno) {
	var all []byte
	for {
		data, errno := s.read(uint64(len(all)), 50_000)
		if errno != 0 || len(data) == 0 {
			return reference.Sum(all), errno
		}
		all = append(all, data...)
	}
}

// readData reads what is not in holes.
func (s *directSlot) readData() (string, syscall.Errno) {
	a, errno := s.attr()
	all := make([]byte, a.Size)
	seek := func(off uint64, whence uint32) (uint64, fuse.Status) {
		var out fuse.LseekOut
		st := s.d.f.Lseek(nil, &fuse.LseekIn{InHeader: hdr(s.node), Fh: s.fh, Offset: off, Whence: whence}, &out)
		return out.Offset, st
	}
	for at := uint64(0); errno == 0 && at < a.Size; {
		from, st := seek(at, unix.SEEK_DATA)
		if failed(st) == syscall.ENXIO {
			break
		}
		end, st := seek(from, unix.SEEK_HOLE)
		if !st.Ok() {
			return "", failed(st)
		}
		var data []byte
		data, errno = s.read(from, int(end-from))
		copy(all[from:], data)
		at = end
	}
	return reference.Sum(all), errno
}

func (s *directSlot) change(step reference.Step) syscall.Errno {
	fallocate := func(mode uint32) syscall.Errno {
		in := fuse.FallocateIn{InHeader: hdr(s.node), Fh: s.fh, Offset: uint64(step.Off), Length: uint64(step.Len), Mode: mode}
		return failed(s.d.f.Fallocate(nil, &in))
	}
	switch step.Op {
	case "append":
		a, errno := s.attr()
		if errno != 0 {
			return errno
		}
		return s.write(a.Size, step.Data(), syscall.O_APPEND)
	case "write", "swrite":
		return s.write(uint64(step.Off), step.Data(), 0)
	case "punch":
		return fallocate(unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE)
	case "zero":
		return fallocate(unix.FALLOC_FL_ZERO_RANGE)
	case "allocate":
		return fallocate(0)
	}
	in := fuse.SetAttrIn{SetAttrInCommon: fuse.SetAttrInCommon{InHeader: hdr(s.node), Valid: fuse.FATTR_SIZE | fuse.FATTR_FH, Fh: s.fh, Size: uint64(step.Len)}}
	var out fuse.AttrOut
	return failed(s.d.f.SetAttr(nil, &in, &out))
}

// do makes one step, and lets go of what was looked up for it.
func (m *machine) do(s reference.Step) reference.Answer {
	d := m.mounts[s.Node]
	text, errno := m.step(d, s)
	for _, id := range d.refs {
		d.f.Forget(id, 1)
	}
	d.refs = d.refs[:0]
	if errno != 0 {
		return reference.Answer{Errno: errno}
	}
	return reference.Answer{Text: text}
}

func (m *machine) step(d *direct, s reference.Step) (string, syscall.Errno) {
	switch s.Op {
	case "create", "mkdir", "symlink":
		return "", d.create(s)
	case "rmdir", "unlink", "link", "rename":
		return "", d.entry(s)
	case "open", "close", "swrite", "sread", "sstat", "struncate":
		return m.slot(d, s)
	case "copy":
		return d.copy(s)
	case "chmod", "setxattr", "getxattr", "removexattr", "listxattr":
		return d.attribute(s)
	case "stat", "list", "readlink":
		return d.ask(s)
	case "read", "holes":
		h, errno := d.open(s.Path, syscall.O_RDONLY)
		if errno != 0 {
			return "", errno
		}
		defer h.close()
		if s.Op == "read" {
			return h.readAll()
		}
		return h.readData()
	}
	h, errno := d.open(s.Path, syscall.O_WRONLY)
	if errno != 0 {
		return "", errno
	}
	errno = h.change(s)
	if e := h.close(); errno == 0 {
		errno = e
	}
	return "", errno
}

func (m *machine) slot(d *direct, s reference.Step) (text string, errno syscall.Errno) {
	h := m.slots[s.Slot]
	switch {
	case s.Op == "open" && h != nil:
		return "", syscall.EBUSY
	case s.Op == "open":
		if h, errno = d.open(s.Path, syscall.O_RDWR); errno == 0 {
			m.slots[s.Slot] = h
		}
		return "", errno
	case h == nil:
		return "", syscall.EBADF
	}
	switch s.Op {
	case "close":
		m.slots[s.Slot] = nil
		return "", h.close()
	case "sread":
		return h.readAll()
	case "sstat":
		a, errno := h.attr()
		return statText(&a), errno
	}
	if errno = h.change(s); errno == 0 {
		_, errno = h.attr() // others see it now
	}
	return "", errno
}

func statText(a *fuse.Attr) string {
	kinds := map[uint32]string{unix.S_IFREG: "file", unix.S_IFDIR: "dir", unix.S_IFLNK: "symlink"}
	return reference.Stat(kinds[a.Mode&unix.S_IFMT], int64(a.Mode&0o7777), int(a.Nlink), int64(a.Size))
}

func (d *direct) create(s reference.Step) syscall.Errno {
	dir, name, errno := d.parent(s.Path)
	if errno != 0 {
		return errno
	}
	if _, errno := d.lookup(dir, name); errno != syscall.ENOENT {
		return max(errno, syscall.EEXIST)
	}
	var made fuse.CreateOut
	h := hdr(dir)
	var st fuse.Status
	switch s.Op {
	case "mkdir":
		st = d.f.Mkdir(nil, &fuse.MkdirIn{InHeader: h, Mode: uint32(s.Arg) & 0o1777}, name, &made.EntryOut)
	case "symlink":
		st = d.f.Symlink(nil, &h, "nowhere", name, &made.EntryOut)
	default:
		in := fuse.CreateIn{InHeader: h, Flags: syscall.O_CREAT | syscall.O_EXCL | syscall.O_WRONLY, Mode: uint32(s.Arg) | unix.S_IFREG}
		if st = d.f.Create(nil, &in, name, &made); st.Ok() {
			open := directSlot{d: d, node: made.NodeId, fh: made.Fh}
			st = fuse.Status(open.close())
		}
	}
	if st.Ok() {
		d.refs = append(d.refs, made.NodeId)
	}
	return failed(st)
}

// entry changes entries; what the kernel checks before it asks is checked here.
func (d *direct) entry(s reference.Step) syscall.Errno {
	dir, name, errno := d.parent(s.Path)
	if errno != 0 {
		return errno
	}
	h := hdr(dir)
	switch s.Op {
	case "unlink":
		return failed(d.f.Unlink(nil, &h, name))
	case "rmdir":
		return failed(d.f.Rmdir(nil, &h, name))
	case "link":
		if _, errno := d.lookup(dir, name); errno != 0 {
			return errno
		}
	}
	to, newName, errno := d.parent(s.Path2)
	if errno != 0 {
		return errno
	}
	old, errno := d.lookup(dir, name)
	if errno != 0 {
		return errno
	}
	_, taken := d.lookup(to, newName)
	if s.Op == "link" {
		if taken == 0 {
			return syscall.EEXIST
		}
		var out fuse.EntryOut
		st := d.f.Link(nil, &fuse.LinkIn{InHeader: hdr(to), Oldnodeid: old.NodeId}, newName, &out)
		if st.Ok() {
			d.refs = append(d.refs, out.NodeId)
		}
		return failed(st)
	}
	if taken == 0 && s.Arg == 0 && strings.HasPrefix(s.Path, s.Path2+"/") {
		return syscall.ENOTEMPTY // what is to be replaced holds what is to be moved
	}
	return failed(d.f.Rename(nil, &fuse.RenameIn{InHeader: hdr(dir), Newdir: to, Flags: uint32(s.Arg)}, name, newName))
}

func (d *direct) copy(s reference.Step) (string, syscall.Errno) {
	from, errno := d.open(s.Path, syscall.O_RDONLY)
	isDir := errno == syscall.EISDIR
	if errno != 0 && !isDir {
		return "", errno
	}
	if !isDir {
		defer from.close()
	}
	to, errno := d.open(s.Path2, syscall.O_RDWR)
	if errno != 0 {
		return "", errno
	}
	defer to.close()
	switch {
	case isDir:
		return "", syscall.EISDIR
	case from.node == to.node:
		return "", syscall.ETXTBSY
	}
	in := fuse.CopyFileRangeIn{InHeader: hdr(from.node), FhIn: from.fh, OffIn: uint64(s.Off), NodeIdOut: to.node, FhOut: to.fh,
		OffOut: uint64(2 * s.Off), Len: uint64(s.Len)}
	n, st := d.f.CopyFileRange(nil, &in)
	if failed(st) != syscall.EXDEV {
		return fmt.Sprint(n), failed(st)
	}
	data, errno := from.read(uint64(s.Off), int(s.Len))
	if errno == 0 && len(data) > 0 {
		errno = to.write(uint64(2*s.Off), data, 0)
	}
	return fmt.Sprint(len(data)), errno
}

func (d *direct) attribute(s reference.Step) (string, syscall.Errno) {
	e, errno := d.find(s.Path)
	if errno != 0 {
		return "", errno
	}
	h, name := hdr(e.NodeId), reference.XattrName(s)
	link := e.Mode&unix.S_IFMT == unix.S_IFLNK
	buf := make([]byte, 4096)
	switch {
	case s.Op == "listxattr":
		n, st := d.f.ListXAttr(nil, &h, buf)
		names := strings.Fields(strings.ReplaceAll(string(buf[:n]), "\x00", " "))
		slices.Sort(names)
		return strings.Join(names, " "), failed(st)
	case link && s.Op == "chmod":
		return "", syscall.ENOENT
	case link && s.Op == "getxattr":
		return "", syscall.ENODATA
	case link:
		return "", syscall.EPERM
	case s.Op == "chmod":
		in := fuse.SetAttrIn{SetAttrInCommon: fuse.SetAttrInCommon{InHeader: h, Valid: fuse.FATTR_MODE, Mode: uint32(s.Arg)}}
		var out fuse.AttrOut
		return "", failed(d.f.SetAttr(nil, &in, &out))
	case s.Op == "setxattr":
		value := []byte(reference.Sum(s.Data()))
		return "", failed(d.f.SetXAttr(nil, &fuse.SetXAttrIn{InHeader: h, Size: uint32(len(value))}, name, value))
	case s.Op == "removexattr":
		return "", failed(d.f.RemoveXAttr(nil, &h, name))
	}
	n, st := d.f.GetXAttr(nil, &h, name, buf)
	if !st.Ok() {
		n = 0
	}
	return string(buf[:n]), failed(st)
}

func (d *direct) ask(s reference.Step) (string, syscall.Errno) {
	e, errno := d.find(s.Path)
	if errno != 0 {
		return "", errno
	}
	typ := e.Mode & unix.S_IFMT
	switch {
	case s.Op == "stat":
		return statText(&e.Attr), 0
	case s.Op == "readlink" && typ != unix.S_IFLNK:
		return "", syscall.EINVAL
	case s.Op == "readlink":
		h := hdr(e.NodeId)
		target, st := d.f.Readlink(nil, &h)
		return string(target), failed(st)
	case typ == unix.S_IFLNK:
		return "", syscall.ENOENT
	case typ != unix.S_IFDIR:
		return "", syscall.ENOTDIR
	}
	return d.list(e.NodeId)
}

func (d *direct) list(id uint64) (string, syscall.Errno) {
	var open fuse.OpenOut
	if st := d.f.OpenDir(nil, &fuse.OpenIn{InHeader: hdr(id)}, &open); !st.Ok() {
		return "", failed(st)
	}
	defer d.f.ReleaseDir(&fuse.ReleaseIn{InHeader: hdr(id), Fh: open.Fh})
	buf := make([]byte, 4096)
	st := d.f.ReadDir(nil, &fuse.ReadIn{InHeader: hdr(id), Fh: open.Fh, Size: uint32(len(buf))}, fuse.NewDirEntryList(buf, 0))
	var names []string
	for b := buf; st.Ok() && binary.NativeEndian.Uint64(b) != 0; {
		n := binary.NativeEndian.Uint32(b[16:])
		if name := string(b[24 : 24+n]); name != "." && name != ".." {
			names = append(names, name)
		}
		b = b[(24+n+7)&^7:]
	}
	return strings.Join(names, " "), failed(st)
}

// runDirect compares the answers to a program with the model's, and in the end everything at every mount; then no
// node may be known that nobody has (U5), and the state machines must be sound.
func runDirect(t testing.TB, p reference.Program) error {
	m, want := newMachine(t), reference.New()
	check := func(i int, s reference.Step) error {
		if got, right := m.do(s), want.Do(s); got != right {
			return fmt.Errorf("step %d: %s%v, want %v", i, reference.Program{s}, got, right)
		}
		return nil
	}
	for i, s := range p {
		if err := check(i, s); err != nil {
			return err
		}
	}
	for n, d := range m.mounts {
		for _, s := range want.All(n) {
			if err := check(len(p), s); err != nil {
				return err
			}
		}
		for _, h := range m.slots {
			if h != nil && h.d == d {
				h.close()
			}
		}
		if live, _ := d.f.nodes.counts(); live != 1 || d.f.handles.count() != 0 {
			return fmt.Errorf("U5: mount %d knows %d nodes and %d handles in the end", n, live, d.f.handles.count())
		}
	}
	var unsound error
	report := func(problem string) { unsound = fmt.Errorf("unsound: %s", problem) }
	namespace.Check(m.store.index.At(ids.Namespace, hlc.Latest), report)
	for sub := range m.store.shards {
		objects.Check(m.store.index.At(ids.Subgroup(sub+1), hlc.Latest), report)
	}
	return unsound
}

// Random programs at three mounts without a kernel answer what a model does. The seeds and the programs are those
// of the tests of clusters.
func TestProgramsWithoutKernel(t *testing.T) {
	const length = 250
	steps := *stepsFlag
	if testing.Short() {
		steps /= 4
	}
	for seed := range uint64(steps / length) {
		p := reference.Random(seed, length)
		if err := runDirect(t, p); err != nil {
			short := reference.Minimize(p, func(q reference.Program) bool { return runDirect(t, q) != nil })
			t.Fatalf("seed %d: %v\nThe shortest program found:\n%s%v", seed, err, short, runDirect(t, short))
		}
	}
}
