package namespace

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"dfs/errs"
	"dfs/ids"
)

// oracle is the namespace done in the most stupid way: a tree in memory, where everything that the
// records count (links, entries, attributes) is counted again whenever it is asked. It knows nothing
// of access control lists, which the scripts test.
type oracle struct {
	objs map[ids.Ino]*obj // all that exist
	gone map[ids.Ino]bool // files deleted but not dropped
	next ids.Ino
}

// obj is an inode; kids is nil unless it is a directory. A dead directory was removed.
type obj struct {
	ino                    ids.Ino
	mode, uid, gid, rdev   uint32
	a, m, c, b             int64
	target                 string
	parent                 ids.Ino
	kids                   map[string]*obj
	xattrs                 map[string]string
	dead, linkable, orphan bool
	released               map[ids.NodeID]bool
}

func newOracle() *oracle {
	return &oracle{objs: map[ids.Ino]*obj{}, gone: map[ids.Ino]bool{}, next: ids.RootIno}
}

func (o *obj) is(t Type) bool { return Type(o.mode>>12) == t }

func (w *oracle) names(o *obj) (n uint32) {
	for _, d := range w.objs {
		for _, kid := range d.kids {
			if kid == o {
				n++
			}
		}
	}
	return n
}

func (w *oracle) nlink(o *obj) uint32 {
	switch {
	case !o.is(Directory):
		return w.names(o)
	case o.dead:
		return 0
	}
	n := uint32(2)
	for _, kid := range o.kids {
		if kid.is(Directory) {
			n++
		}
	}
	return n
}

func (w *oracle) make(mode, uid, gid uint32, now int64) *obj {
	o := &obj{ino: w.next, mode: mode, uid: uid, gid: gid, a: now, m: now, c: now, b: now, xattrs: map[string]string{}}
	if o.is(Directory) {
		o.kids = map[string]*obj{}
	}
	w.objs[o.ino] = o
	w.next++
	return o
}

// child makes an object with what it inherits from dir.
func (w *oracle) child(dir *obj, mode, umask, uid, gid uint32, now int64) *obj {
	if Type(mode>>12) == Symlink {
		mode, umask = mode|0o777, 0
	}
	o := w.make(mode&^umask, uid, gid, now)
	if dir.mode&ModeSetgid != 0 {
		o.gid = dir.gid
		if o.is(Directory) {
			o.mode |= ModeSetgid
		}
	}
	return o
}

// into is a directory as far as new entries are concerned.
func (w *oracle) into(ino ids.Ino) (*obj, errs.Kind) {
	switch d := w.objs[ino]; {
	case d == nil, d.dead:
		return nil, errs.NotFound
	case d.kids == nil:
		return nil, errs.NotDirectory
	default:
		return d, errs.OK
	}
}

func (w *oracle) loseName(o *obj, now int64) {
	o.c = now
	if o.is(Directory) {
		o.dead = true
	}
	if w.nlink(o) == 0 {
		o.orphan, o.released = true, map[ids.NodeID]bool{}
	}
}

func (w *oracle) below(d, top *obj) bool {
	for ; d != top; d = w.objs[d.parent] {
		if d.ino == ids.RootIno {
			return false
		}
	}
	return true
}

func badName(s string) bool { return s == "" || s == "." || s == ".." || strings.Contains(s, "/") }

// apply carries out an operation that needs no limits checked.
func (w *oracle) apply(op Op, now int64) errs.Kind {
	switch op := op.(type) {
	case Init:
		if w.objs[ids.RootIno] == nil {
			w.make(0o40755, op.UID, op.GID, now).parent = ids.RootIno
		}
	case Create:
		return w.create(op, now)
	case Tmpfile:
		dir, kind := w.into(op.Parent)
		if kind == errs.OK {
			o := w.child(dir, op.Mode|0o100000, op.Umask, op.UID, op.GID, now)
			o.linkable, o.orphan, o.released = op.Linkable, true, map[ids.NodeID]bool{}
		}
		return kind
	case Link:
		return w.link(op, now)
	case Unlink:
		return w.remove(op.Parent, op.Name, false, now)
	case Rmdir:
		return w.remove(op.Parent, op.Name, true, now)
	case Rename:
		return w.rename(op, now)
	case SetAttr:
		return w.setAttr(op, now)
	case SetXattr, RemoveXattr:
		return w.xattr(op, now)
	case Touch:
		o := w.objs[op.Ino]
		if o == nil {
			return errs.NotFound
		} else if o.is(Regular) {
			return errs.Invalid
		}
		o.a = max(o.a, now)
	case Release:
		return w.release(op.Node, op.Members, op.Inos)
	case ReleaseAll:
		all := slices.DeleteFunc(slices.Collect(maps.Keys(w.objs)), func(ino ids.Ino) bool { return ino <= op.After })
		return w.release(op.Node, op.Members, all)
	case Dropped:
		for _, ino := range op.Inos {
			delete(w.gone, ino)
		}
	}
	return errs.OK
}

func (w *oracle) create(op Create, now int64) errs.Kind {
	if badName(op.Name) {
		return errs.Invalid
	}
	dir, kind := w.into(op.Parent)
	if kind != errs.OK {
		return kind
	}
	if old := dir.kids[op.Name]; old != nil {
		switch {
		case op.Exclusive || Type(op.Mode>>12) != Regular:
			return errs.Exists
		case old.is(Regular):
			return errs.OK
		case old.is(Directory):
			return errs.IsDirectory
		}
		return errs.Exists
	}
	o := w.child(dir, op.Mode, op.Umask, op.UID, op.GID, now)
	o.target, o.parent = op.Target, dir.ino
	if o.is(CharDev) || o.is(BlockDev) {
		o.rdev = op.Rdev
	}
	dir.kids[op.Name] = o
	dir.m, dir.c = now, now
	return errs.OK
}

func (w *oracle) link(op Link, now int64) errs.Kind {
	if badName(op.Name) {
		return errs.Invalid
	}
	dir, kind := w.into(op.Parent)
	if kind != errs.OK {
		return kind
	}
	switch o := w.objs[op.Ino]; {
	case o == nil:
		return errs.NotFound
	case o.is(Directory):
		return errs.NotPermitted
	case o.orphan && !o.linkable:
		return errs.NotFound
	case dir.kids[op.Name] != nil:
		return errs.Exists
	default:
		dir.kids[op.Name] = o
		o.orphan, o.linkable = false, false
		o.c, dir.m, dir.c = now, now, now
	}
	return errs.OK
}

func (w *oracle) remove(parent ids.Ino, name string, rmdir bool, now int64) errs.Kind {
	if badName(name) {
		return errs.Invalid
	}
	dir, kind := w.into(parent)
	if kind != errs.OK {
		return kind
	}
	switch o := dir.kids[name]; {
	case o == nil:
		return errs.NotFound
	case rmdir && !o.is(Directory):
		return errs.NotDirectory
	case !rmdir && o.is(Directory):
		return errs.IsDirectory
	case len(o.kids) > 0:
		return errs.NotEmpty
	default:
		delete(dir.kids, name)
		dir.m, dir.c = now, now
		w.loseName(o, now)
	}
	return errs.OK
}

func (w *oracle) rename(op Rename, now int64) errs.Kind {
	exchange := op.Flags&RenameExchange != 0
	if exchange && op.Flags != RenameExchange || badName(op.OldName) {
		return errs.Invalid
	}
	from, kind := w.into(op.OldParent)
	if kind != errs.OK {
		return kind
	}
	o := from.kids[op.OldName]
	if o == nil {
		return errs.NotFound
	}
	if badName(op.NewName) {
		return errs.Invalid
	}
	to, kind := w.into(op.NewParent)
	if kind != errs.OK {
		return kind
	}
	old := to.kids[op.NewName]
	switch {
	case exchange && old == nil:
		return errs.NotFound
	case op.Flags&RenameNoReplace != 0 && old != nil:
		return errs.Exists
	case o.is(Directory) && w.below(to, o), exchange && old.is(Directory) && w.below(from, old):
		return errs.Invalid
	case old == o:
		return errs.OK
	case exchange:
	case old == nil:
	case o.is(Directory) && !old.is(Directory):
		return errs.NotDirectory
	case !o.is(Directory) && old.is(Directory):
		return errs.IsDirectory
	case len(old.kids) > 0:
		return errs.NotEmpty
	}
	delete(from.kids, op.OldName)
	to.kids[op.NewName] = o
	if o.is(Directory) {
		o.parent = to.ino
	}
	o.c, from.m, from.c, to.m, to.c = now, now, now, now, now
	switch {
	case exchange:
		from.kids[op.OldName] = old
		old.c = now
		if old.is(Directory) {
			old.parent = from.ino
		}
	case old != nil:
		w.loseName(old, now)
	}
	if op.Flags&RenameWhiteout != 0 {
		from.kids[op.OldName] = w.make(0o20000, op.UID, op.GID, now)
	}
	return errs.OK
}

func (w *oracle) setAttr(op SetAttr, now int64) errs.Kind {
	o := w.objs[op.Ino]
	has := func(m AttrMask) bool { return op.Valid&m != 0 }
	switch {
	case o == nil:
		return errs.NotFound
	case has(AttrAtime) && has(AttrAtimeNow), has(AttrMtime) && has(AttrMtimeNow):
		return errs.Invalid
	case o.is(Regular) && has(AttrAtime|AttrAtimeNow|AttrMtime|AttrMtimeNow):
		return errs.Invalid
	case o.is(Symlink) && has(AttrMode):
		return errs.NotSupported
	case op.Valid == 0:
		return errs.OK
	}
	o.c = now
	kill := has(AttrKillPriv) || has(AttrUID|AttrGID) && !has(AttrMode)
	for _, set := range []struct {
		bit AttrMask
		do  func()
	}{
		{AttrUID, func() { o.uid = op.UID }}, {AttrGID, func() { o.gid = op.GID }},
		{AttrMode, func() { o.mode = o.mode&^0o7777 | op.Mode&0o7777 }},
		{AttrAtime, func() { o.a = op.Atime }}, {AttrAtimeNow, func() { o.a = now }},
		{AttrMtime, func() { o.m = op.Mtime }}, {AttrMtimeNow, func() { o.m = now }},
		{AttrCtime, func() { o.c = op.Ctime }},
	} {
		if has(set.bit) {
			set.do()
		}
	}
	if !o.is(Directory) {
		if kill {
			if o.mode &^= 0o4000; o.mode&0o10 != 0 {
				o.mode &^= 0o2000
			}
		}
		if has(AttrKillPriv | AttrUID | AttrGID) {
			delete(o.xattrs, "security.capability")
		}
	}
	return errs.OK
}

func (w *oracle) xattr(op Op, now int64) errs.Kind {
	set, isSet := op.(SetXattr)
	remove, _ := op.(RemoveXattr)
	o := w.objs[set.Ino+remove.Ino]
	if o == nil {
		return errs.NotFound
	}
	_, exists := o.xattrs[set.Name+remove.Name]
	switch {
	case isSet && exists && set.Flags&XattrCreate != 0:
		return errs.Exists
	case isSet && !exists && set.Flags&XattrReplace != 0, !isSet && !exists:
		return errs.NoAttribute
	case isSet:
		o.xattrs[set.Name] = string(set.Value)
	default:
		delete(o.xattrs, remove.Name)
	}
	o.c = now
	return errs.OK
}

func (w *oracle) release(node ids.NodeID, members []ids.NodeID, inos []ids.Ino) errs.Kind {
	if len(members) == 0 {
		return errs.Invalid
	}
	for _, ino := range inos {
		o := w.objs[ino]
		if o == nil || !o.orphan {
			continue
		}
		o.released[node] = true
		if !slices.ContainsFunc(members, func(m ids.NodeID) bool { return !o.released[m] }) {
			delete(w.objs, ino)
			if o.is(Regular) {
				w.gone[ino] = true
			}
		}
	}
	return errs.OK
}

// inode puts together what Stat should say.
func (w *oracle) inode(o *obj) Inode {
	n := Inode{Mode: o.mode, UID: o.uid, GID: o.gid, Nlink: w.nlink(o), Rdev: o.rdev, Atime: o.a, Mtime: o.m, Ctime: o.c,
		Btime: o.b, Linkable: o.linkable, Entries: uint64(len(o.kids)), Target: o.target}
	if o.is(Directory) {
		n.Parent = o.parent
	}
	for name := range o.xattrs {
		n.XattrBytes += uint32(len(name) + 1)
	}
	return n
}

// dump prints what dump prints.
func (w *oracle) dump() string {
	var b strings.Builder
	seen := map[*obj]bool{}
	var visit func(o *obj)
	visit = func(o *obj) {
		if seen[o] {
			return
		}
		seen[o] = true
		n := w.inode(o)
		fmt.Fprintf(&b, "%d: %s\n", o.ino, describe(&n))
		for _, name := range slices.Sorted(maps.Keys(o.xattrs)) {
			fmt.Fprintf(&b, "  %s = %q <nil>\n", name, o.xattrs[name])
		}
		names := slices.Sorted(maps.Keys(o.kids))
		for _, name := range names {
			fmt.Fprintf(&b, "  %s -> %d %d\n", name, o.kids[name].ino, o.kids[name].mode>>12)
		}
		for _, name := range names {
			visit(o.kids[name])
		}
	}
	if root := w.objs[ids.RootIno]; root != nil {
		visit(root)
	} else {
		fmt.Fprintf(&b, "1: %v\n", errs.NotFound)
	}
	for ino := ids.Ino(1); ino < w.next; ino++ {
		switch o := w.objs[ino]; {
		case w.gone[ino]:
			fmt.Fprintf(&b, "orphan %d: gone true released []\n", ino)
		case o != nil && o.orphan:
			fmt.Fprintf(&b, "orphan %d: gone false released %v\n", ino, slices.Sorted(maps.Keys(o.released)))
			visit(o)
		}
	}
	fmt.Fprintf(&b, "count %d\n", len(w.objs))
	return b.String()
}
