package fusefs

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dfs/ids"
	"dfs/namespace"
)

// requests is how many requests the kernel has sent.
func (m *mounted) requests() uint64 {
	s := m.Stats()
	return s.Inline + s.Apart
}

// granted reports whether the kernel may use the attributes of an inode without asking.
func (m *mounted) granted(ino ids.Ino) bool {
	m.f.grants.mu.Lock()
	defer m.f.grants.mu.Unlock()
	_, ok := m.f.grants.until[ino]
	return ok
}

// The kernel asks for a directory's attributes once, not at each step of a path.
func TestGrantSavesRequests(t *testing.T) {
	m := mount(t)
	dir := filepath.Join(m.dir, "d")
	must(t, os.Mkdir(dir, 0o755))
	eventually(t, "a path to a directory takes one request, the lookup", func() bool {
		before := m.requests()
		stat(t, dir)
		return m.requests() == before+1
	})
}

// U13: whatever another node does to a directory, this kernel shows it at once, though it had the attributes.
func TestGrantIsTakenBack(t *testing.T) {
	m := mount(t)
	dir := filepath.Join(m.dir, "d")
	must(t, os.Mkdir(dir, 0o755))
	ino := ids.Ino(stat(t, dir).Ino)
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	must(t, err)
	defer unix.Close(fd)
	fstat := func() (s unix.Stat_t) { must(t, unix.Fstat(fd, &s)); return s }
	shown := func() (s unix.Stat_t) {
		// By the descriptor the kernel looks nothing up: it has the attributes or asks for them.
		s = fstat()
		s.Atim = unix.Timespec{}
		return s
	}
	for _, c := range []struct {
		what string
		op   namespace.Op
		seen func(before, after unix.Stat_t) bool
	}{
		{"chmod", namespace.SetAttr{Ino: ino, Valid: namespace.AttrMode, Mode: 0o700}, func(_, s unix.Stat_t) bool { return s.Mode&0o777 == 0o700 }},
		{"a new file", namespace.Create{Parent: ino, Name: "f", Mode: unix.S_IFREG | 0o644, Exclusive: true}, func(b, s unix.Stat_t) bool { return s.Mtim != b.Mtim }},
		{"a new directory", namespace.Create{Parent: ino, Name: "sub", Mode: unix.S_IFDIR | 0o755, Exclusive: true}, func(b, s unix.Stat_t) bool { return s.Nlink == b.Nlink+1 }},
		{"unlink", namespace.Unlink{Parent: ino, Name: "f"}, func(b, s unix.Stat_t) bool { return s.Mtim != b.Mtim }},
		{"rmdir in it", namespace.Rmdir{Parent: ino, Name: "sub"}, func(b, s unix.Stat_t) bool { return s.Nlink == b.Nlink-1 }},
		{"an attribute", namespace.SetXattr{Ino: ino, Name: "user.a", Value: []byte("b")}, func(b, s unix.Stat_t) bool { return s.Ctim != b.Ctim }},
		{"rename", namespace.Rename{OldParent: ids.RootIno, OldName: "d", NewParent: ids.RootIno, NewName: "e"}, func(b, s unix.Stat_t) bool { return s.Ctim != b.Ctim }},
		{"rmdir of it", namespace.Rmdir{Parent: ids.RootIno, Name: "e"}, func(_, s unix.Stat_t) bool { return s.Nlink == 0 }},
	} {
		eventually(t, "the kernel may keep the attributes", func() bool { shown(); return m.granted(ino) })
		before := shown()
		m.store.as(fakeOther, ids.Namespace, c.op.Encode())
		if after := shown(); !c.seen(before, after) {
			t.Errorf("U13: %s at another node is not seen: %+v", c.what, after)
		}
	}
}

// U13: an access control list that another node sets is in force at once.
func TestGrantHoldsPermissions(t *testing.T) {
	m := mount(t)
	dir := filepath.Join(m.dir, "d")
	must(t, os.Mkdir(dir, 0o777))
	ino := ids.Ino(stat(t, dir).Ino)
	write(t, filepath.Join(dir, "f"), "x")
	eventually(t, "the kernel may keep the attributes", func() bool { stat(t, dir); return m.granted(ino) })
	if out, err := m.run("setpriv --reuid 65534 --clear-groups cat d/f"); err != nil || out != "x" {
		t.Fatalf("%q, %v", out, err)
	}
	m.store.as(fakeOther, ids.Namespace, namespace.SetAttr{Ino: ino, Valid: namespace.AttrMode, Mode: 0o700}.Encode())
	if out, err := m.run("setpriv --reuid 65534 --clear-groups cat d/f"); err == nil {
		t.Errorf("U13: a directory that was closed at another node was entered: %q", out)
	}
}

// newTestGrants returns grants and what the kernel and the doubter were told; the kernel knows only inode 5.
func newTestGrants() (g *grants, told, doubted *[]ids.Ino) {
	told, doubted = new([]ids.Ino), new([]ids.Ino)
	g = newGrants(func() time.Duration { return time.Second })
	g.tell = func(ino ids.Ino) bool { *told = append(*told, ino); return ino == 5 }
	g.doubt = func(ino ids.Ino) { *doubted = append(*doubted, ino) }
	return g, told, doubted
}

func dirNode(ino ids.Ino) *node { return &node{nodeKey: nodeKey{ino: ino}, id: nodeID(ino)} }

// U13: what was read before an operation was acknowledged is not granted after that, and nothing is granted that would
// be kept for longer than the node vouches, or under a number that is not the inode's.
func TestGrantRefused(t *testing.T) {
	g, _, _ := newTestGrants()
	before := g.ask()
	g.acknowledged(ids.Namespace, namespace.Unlink{Parent: 7, Name: "x"}.Encode())
	if d := g.give(dirNode(5), before); d != 0 {
		t.Errorf("what may be out of date is granted for %v", d)
	}
	if d := g.give(dirNode(5), g.ask()); d != time.Second/2 {
		t.Errorf("granted for %v, want half of what the node vouches for", d)
	}
	if d := g.give(&node{nodeKey: nodeKey{ino: 6}, id: pastBit}, g.ask()); d != 0 {
		t.Errorf("a directory with another number is granted for %v", d)
	}
	g.vouched = func() time.Duration { return shortestGrant }
	if d := g.give(dirNode(6), g.ask()); d != 0 {
		t.Errorf("granted for %v though the lease ends", d)
	}
	g.vouched = func() time.Duration { return time.Hour }
	for ino := ids.Ino(10); ino < 10+2*maxGrants; ino++ {
		g.give(dirNode(ino), g.ask())
	}
	if len(g.until) != maxGrants {
		t.Errorf("%d grants, want no more than %d", len(g.until), maxGrants)
	}
	g.end()
	if d := g.give(dirNode(5), g.ask()); d != 0 {
		t.Errorf("granted for %v at the end", d)
	}
}

// What the kernel does not know when it is to forget it may be on its way to it: it is told again.
func TestGrantUnknown(t *testing.T) {
	g, told, doubted := newTestGrants()
	for _, ino := range []ids.Ino{5, 6, 7} {
		g.give(dirNode(ino), g.ask())
	}
	g.acknowledged(ids.Namespace, namespace.Unlink{Parent: 5, Name: "x"}.Encode())
	g.acknowledged(ids.Namespace, namespace.Unlink{Parent: 6, Name: "x"}.Encode())
	g.acknowledged(ids.Namespace, namespace.Unlink{Parent: 6, Name: "x"}.Encode())
	if !slices.Equal(*told, []ids.Ino{5, 6}) || !slices.Equal(*doubted, []ids.Ino{6}) {
		t.Errorf("told of %v, doubted %v", *told, *doubted)
	}
	g.acknowledged(ids.Namespace, nil)
	if len(g.until) != 0 {
		t.Errorf("left after anything may have changed: %v", g.until)
	}
}

// changedDirs names every directory whose record an operation changes.
func TestChangedDirs(t *testing.T) {
	s := newFake()
	defer s.close()
	dirs := []ids.Ino{ids.RootIno}
	made := func(parent ids.Ino, name string, mode uint32) ids.Ino {
		res := s.must(ids.Namespace, namespace.Create{Parent: parent, Name: name, Mode: mode, Exclusive: true}.Encode())
		c, err := namespace.DecodeCreateResult(res.Body)
		must(t, err)
		if mode&unix.S_IFMT == unix.S_IFDIR {
			dirs = append(dirs, c.Ino)
		}
		return c.Ino
	}
	a, b := made(ids.RootIno, "a", unix.S_IFDIR|0o755), made(ids.RootIno, "b", unix.S_IFDIR|0o755)
	sub, empty := made(a, "sub", unix.S_IFDIR|0o755), made(b, "empty", unix.S_IFDIR|0o755)
	f := made(a, "f", unix.S_IFREG|0o644)
	records := func() map[ids.Ino]string {
		r, err := s.Now(context.Background(), ids.Namespace)
		must(t, err)
		all := map[ids.Ino]string{}
		for _, d := range dirs {
			if inode, err := namespace.Stat(r, d); err == nil {
				all[d] = string(inode.Encode())
			}
		}
		return all
	}
	for _, op := range []namespace.Op{
		namespace.Create{Parent: a, Name: "new", Mode: unix.S_IFREG | 0o644}, namespace.Create{Parent: a, Name: "dir", Mode: unix.S_IFDIR | 0o755},
		namespace.Tmpfile{Parent: a, Mode: 0o600}, namespace.Link{Ino: f, Parent: b, Name: "g"}, namespace.Unlink{Parent: b, Name: "g"},
		namespace.Rename{OldParent: a, OldName: "sub", NewParent: b, NewName: "sub"},
		namespace.Rename{OldParent: b, OldName: "sub", NewParent: b, NewName: "empty"},
		namespace.Rename{OldParent: b, OldName: "empty", NewParent: a, NewName: "f", Flags: namespace.RenameExchange},
		namespace.SetAttr{Ino: a, Valid: namespace.AttrMode, Mode: 0o711}, namespace.SetXattr{Ino: a, Name: "user.x", Value: []byte("y")},
		namespace.RemoveXattr{Ino: a, Name: "user.x"}, namespace.Touch{Ino: a}, namespace.Rmdir{Parent: a, Name: "f"},
		namespace.SetLock{}, namespace.Unlock{}, namespace.TestLock{}, namespace.CancelLock{}, namespace.ReleaseNode{Node: fakeOther},
		namespace.Release{Node: fakeSelf, Members: []ids.NodeID{fakeSelf}, Inos: []ids.Ino{sub, empty}}, namespace.Init{},
	} {
		before := records()
		call := s.submit(fakeSelf, ids.Namespace, op.Encode())
		_, err := call.Wait(context.Background())
		must(t, err)
		some, all := changedDirs(op.Encode())
		for ino, was := range before {
			if records()[ino] != was && !all && !slices.Contains(some[:], ino) {
				t.Errorf("%T changed directory %d, told are %v", op, ino, some)
			}
		}
	}
}
