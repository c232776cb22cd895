package fusefs

import (
	"context"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
	"dfs/namespace"
)

// dirEntry is one line of a listing.
type dirEntry struct {
	name string
	key  nodeKey // what it is
	mode uint32  // type bits
}

// lister calls fn for the entries after a name, in order, until fn returns false.
type lister func(after string, fn func(e dirEntry) bool)

// dirStream is an open directory. It shows the directory as it was when it was first read or rewound (U3), so entries
// that come and go while it is read appear once or not at all, and none is missed or told twice. The kernel's
// offset is the number of entries before; to go back to one, the names at some of the offsets are remembered.
type dirStream struct {
	open func(ctx context.Context) (lister, error)

	mu    sync.Mutex
	list  lister     // nil until it is read
	dots  [2]uint64  // inode numbers of "." and ".."
	ahead []dirEntry // read but not yet given out
	next  uint64     // the offset of ahead[0]
	last  string     // the name before ahead[0]
	marks []string   // marks[i] is the name before entry i*markEvery
}

const (
	dotEntries = 2
	markEvery  = 512
	batchSize  = 512
)

// OpenDir is opendir(3).
func (f *filesystem) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n, err := f.node(in.NodeId)
	if err != nil {
		return f.fail("opendir", err)
	}
	ctx := f.caller(cancel, &in.InHeader)
	defer ctx.end()
	f.nodes.open(n)
	dots, err := f.dots(ctx, n)
	if err != nil {
		f.nodes.close(n)
		return f.fail("opendir", gone(n, err))
	}
	d := &dirStream{open: func(ctx context.Context) (lister, error) { return f.lister(ctx, n) }, dots: dots}
	out.Fh = f.handles.add(&handle{n: n, flags: in.Flags, dir: d})
	if n.sort == sortPast {
		out.OpenFlags = fuse.FOPEN_CACHE_DIR | fuse.FOPEN_KEEP_CACHE
	}
	return fuse.OK
}

// lister returns how to list a directory as it is now, or was then.
func (f *filesystem) lister(ctx context.Context, n *node) (lister, error) {
	switch n.sort {
	case sortHistory:
		return f.listHistory(ctx, n)
	case sortTrail:
		return f.listTrail(ctx, n)
	}
	r, err := f.names(ctx, n)
	if err != nil {
		return nil, err
	}
	if _, err := namespace.Stat(r, n.ino); err != nil {
		return nil, err
	}
	return func(after string, fn func(e dirEntry) bool) {
		namespace.List(r, n.ino, after, func(name string, ino ids.Ino, t namespace.Type) bool {
			key := nodeKey{ino: ino}
			if n.sort == sortPast {
				key = n.nodeKey
				key.ino = ino
			}
			return fn(dirEntry{name: name, key: key, mode: t.Mode()})
		})
	}, nil
}

// dots returns the numbers of "." and "..", which programs show but do not use. It fails if the directory is gone.
func (f *filesystem) dots(ctx context.Context, n *node) ([2]uint64, error) {
	self := f.inoOf(n.nodeKey)
	if n.sort == sortHistory || n.sort == sortTrail {
		return [2]uint64{self, uint64(n.ino)}, nil
	}
	r, err := f.names(ctx, n)
	if err != nil {
		return [2]uint64{}, err
	}
	parent, err := namespace.Parent(r, n.ino)
	if err != nil {
		return [2]uint64{}, err
	}
	key := n.nodeKey
	key.ino = parent
	return [2]uint64{self, f.inoOf(key)}, nil
}

// inoOf returns the st_ino of a node.
func (f *filesystem) inoOf(key nodeKey) uint64 {
	switch key.sort {
	case sortLive:
		return uint64(key.ino)
	case sortPast:
		return pastIno(key.ino, key.at)
	}
	return virtualIno(key)
}

// rewind begins anew with the directory as it is now.
func (d *dirStream) rewind(ctx context.Context) error {
	list, err := d.open(ctx)
	if err != nil {
		return err
	}
	d.list, d.ahead, d.next, d.last, d.marks = list, nil, 0, "", []string{""}
	return nil
}

// seek makes next the entry at an offset; offsets do not count "." and "..".
func (d *dirStream) seek(off uint64) {
	switch {
	case off == d.next:
		return
	case off > d.next && off-d.next < uint64(len(d.ahead)):
		d.skip(int(off - d.next))
		return
	}
	m := min(off/markEvery, uint64(len(d.marks)-1))
	if d.next > off || d.next < m*markEvery {
		d.ahead, d.next, d.last = nil, m*markEvery, d.marks[m]
	}
	for d.next < off && d.fill() {
		d.skip(min(len(d.ahead), int(min(off-d.next, batchSize))))
	}
}

// skip gives out k entries.
func (d *dirStream) skip(k int) {
	for range k {
		d.last = d.ahead[0].name
		d.ahead = d.ahead[1:]
		d.next++
		if d.next%markEvery == 0 && int(d.next/markEvery) == len(d.marks) {
			d.marks = append(d.marks, d.last)
		}
	}
}

// fill reads ahead if there is nothing left; it returns false at the end.
func (d *dirStream) fill() bool {
	if len(d.ahead) > 0 {
		return true
	}
	d.ahead = make([]dirEntry, 0, batchSize)
	d.list(d.last, func(e dirEntry) bool {
		d.ahead = append(d.ahead, e)
		return len(d.ahead) < batchSize
	})
	return len(d.ahead) > 0
}

// read calls add for the entries from an offset on until it returns false. after is the offset behind an entry.
func (d *dirStream) read(ctx context.Context, off uint64, add func(e dirEntry, after uint64) bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if off == 0 || d.list == nil {
		if err := d.rewind(ctx); err != nil {
			return err
		}
	}
	for ; off < dotEntries; off++ {
		name := [dotEntries]string{".", ".."}[off]
		if !add(dirEntry{name: name, mode: namespace.Directory.Mode()}, off+1) {
			return nil
		}
	}
	d.seek(off - dotEntries)
	if d.next != off-dotEntries {
		return nil // beyond the end
	}
	for d.fill() {
		if !add(d.ahead[0], d.next+dotEntries+1) {
			return nil
		}
		d.skip(1)
	}
	return nil
}

// dirHandle returns the handle and its stream.
func (f *filesystem) dirHandle(fh uint64) *handle {
	if h := f.handles.get(fh); h != nil && h.dir != nil {
		return h
	}
	return nil
}

// line returns what getdents(2) shows of an entry.
func (f *filesystem) line(h *handle, e dirEntry, after uint64) fuse.DirEntry {
	line := fuse.DirEntry{Name: e.name, Mode: e.mode, Off: after}
	switch {
	case after == 1:
		line.Ino = h.dir.dots[0]
	case after == 2:
		line.Ino = h.dir.dots[1]
	default:
		line.Ino = f.inoOf(e.key)
	}
	return line
}

// ReadDir is readdir(3).
func (f *filesystem) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	h := f.dirHandle(in.Fh)
	if h == nil {
		return fuse.EBADF
	}
	ctx := f.caller(cancel, &in.InHeader)
	defer ctx.end()
	return f.fail("readdir", h.dir.read(ctx, in.Offset, func(e dirEntry, after uint64) bool {
		return out.AddDirEntry(f.line(h, e, after))
	}))
}

// ReadDirPlus is readdir(3) that looks the entries up at once. In the present that would be for nothing, since
// the kernel keeps no live entry; entries without a node are valid there.
func (f *filesystem) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	h := f.dirHandle(in.Fh)
	if h == nil {
		return fuse.EBADF
	}
	ctx := f.caller(cancel, &in.InHeader)
	defer ctx.end()
	return f.fail("readdir", h.dir.read(ctx, in.Offset, func(e dirEntry, after uint64) bool {
		entry := out.AddDirLookupEntry(f.line(h, e, after))
		if entry == nil {
			return false
		}
		if after > dotEntries && e.key.sort == sortPast {
			if err := f.pastEntry(ctx, e.key, entry); err != nil {
				*entry = fuse.EntryOut{} // the lookup that follows will say why
			}
		}
		return true
	}))
}

// ReleaseDir is closedir(3).
func (f *filesystem) ReleaseDir(in *fuse.ReleaseIn) {
	if h := f.handles.remove(in.Fh); h != nil {
		f.nodes.close(h.n)
		f.reaper.letGo(h.n.ino)
	}
}

// StatFs is statfs(2).
func (f *filesystem) StatFs(cancel <-chan struct{}, h *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	const block = 4096
	space := f.store.Space()
	*out = fuse.StatfsOut{
		Bsize: block, Frsize: block, NameLen: namespace.MaxName,
		Blocks: space.TotalBytes / block, Bfree: space.FreeBytes / block, Bavail: space.FreeBytes / block,
		Files: space.Files, Ffree: space.FreeFiles,
	}
	return fuse.OK
}

// at returns the namespace as of a moment, or says why there is none.
func (f *filesystem) at(ctx context.Context, t hlc.Timestamp) (index.Reader, error) {
	r, err := f.pastOf(ctx, ids.Namespace, t)
	if err != nil {
		return nil, errs.Wrap(kindOf(err), err, "as of %v", t)
	}
	return r, nil
}
