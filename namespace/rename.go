package namespace

import (
	"math"

	"dfs/errs"
	"dfs/ids"
)

// move is a Rename with what its names mean.
type move struct {
	Rename
	c              *change
	oldDir, newDir *loaded
	from           *loaded // what the old name means
	to             *loaded // what the new name means, nil for nothing
}

func (o Rename) apply(c *change) (errs.Kind, []byte) {
	m := move{Rename: o, c: c}
	if kind := m.resolve(); kind != errs.OK {
		return kind, nil
	}
	if m.from == m.to {
		// Two names of one inode: POSIX wants nothing to happen, not even to the times.
		return errs.OK, RenameResult{Ino: m.from.ino}.encode()
	}
	if o.Flags&RenameExchange != 0 {
		return m.exchange()
	}
	return m.replace()
}

// resolve loads what the operation is about and checks all that both kinds of move have in common.
// The order of the checks is Linux's, so that the same mistakes give the same errors.
func (m *move) resolve() errs.Kind {
	const known = RenameNoReplace | RenameExchange | RenameWhiteout
	exchange := m.Flags&RenameExchange != 0
	if m.Flags&^known != 0 || exchange && m.Flags != RenameExchange {
		return errs.Invalid
	}
	var kind errs.Kind
	if m.oldDir, m.from, kind = m.c.target(m.OldParent, m.OldName); kind != errs.OK {
		return kind
	}
	m.newDir, m.to, kind = m.c.target(m.NewParent, m.NewName)
	if kind == errs.NotFound && !exchange {
		m.newDir, kind = m.c.dir(m.NewParent) // the name may be free, the directory may not
	}
	switch {
	case kind != errs.OK:
		return kind
	case m.to != nil && m.Flags&RenameNoReplace != 0:
		return errs.Exists
	case m.c.within(m.newDir, m.from), exchange && m.c.within(m.oldDir, m.to):
		return errs.Invalid
	}
	return errs.OK
}

// within says whether dir is n or lies below it (T3).
func (c *change) within(dir, n *loaded) bool {
	if !n.IsDir() {
		return false
	}
	above, limit := dir.Inode, Count(c.r)
	for at, depth := dir.ino, uint64(0); ; depth++ {
		switch {
		case at == n.ino:
			return true
		case at == ids.RootIno:
			return false
		case depth > limit:
			panicf("T3: directory %d is its own ancestor", at)
		}
		at = above.Parent
		up, err := Stat(c.r, at)
		if err != nil {
			panicf("T3: directory %d does not exist, but is the parent of one", at)
		}
		above = up
	}
}

// reparent makes dir, which was in the directory from, lie in the directory to.
func reparent(n, from, to *loaded) {
	if n.IsDir() {
		from.Nlink--
		to.Nlink++
		n.Parent = to.ino
	}
}

// full says whether a directory cannot hold one more directory.
func full(dir *loaded) bool { return dir.Nlink == math.MaxUint32 }

func (m *move) exchange() (errs.Kind, []byte) {
	c, from, to := m.c, m.from, m.to
	if m.oldDir != m.newDir {
		if from.IsDir() && !to.IsDir() && full(m.newDir) || to.IsDir() && !from.IsDir() && full(m.oldDir) {
			return errs.TooManyLinks, nil
		}
		reparent(from, m.oldDir, m.newDir)
		reparent(to, m.newDir, m.oldDir)
	}
	c.put(DirentKey(m.oldDir.ino, m.OldName), encodeDirent(to.ino, to.Type()))
	c.put(DirentKey(m.newDir.ino, m.NewName), encodeDirent(from.ino, from.Type()))
	c.touch(from)
	c.touch(to)
	c.touchDir(m.oldDir)
	c.touchDir(m.newDir)
	return errs.OK, RenameResult{Ino: from.ino, Replaced: to.ino, Type: to.Type()}.encode()
}

func (m *move) replace() (errs.Kind, []byte) {
	c, from, to := m.c, m.from, m.to
	switch {
	case to == nil:
		if from.IsDir() && m.oldDir != m.newDir && full(m.newDir) {
			return errs.TooManyLinks, nil
		}
	case from.IsDir() && !to.IsDir():
		return errs.NotDirectory, nil
	case !from.IsDir() && to.IsDir():
		return errs.IsDirectory, nil
	case to.Entries > 0:
		return errs.NotEmpty, nil
	}
	res := RenameResult{Ino: from.ino}
	if to != nil {
		m.newDir.Entries--
		res.Replaced, res.Type, res.Orphan = to.ino, to.Type(), c.loseLink(m.newDir, to)
	}
	c.delete(DirentKey(m.oldDir.ino, m.OldName))
	m.oldDir.Entries--
	c.touchDir(m.oldDir)
	reparent(from, m.oldDir, m.newDir)
	c.touch(from)
	c.link(m.newDir, m.NewName, from)
	if m.Flags&RenameWhiteout != 0 {
		c.link(m.oldDir, m.OldName, c.add(Inode{Mode: CharDev.Mode(), UID: m.UID, GID: m.GID, Nlink: 1}))
	}
	return errs.OK, res.encode()
}
