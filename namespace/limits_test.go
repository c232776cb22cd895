package namespace

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
)

// edit changes an inode's record behind the back of the state machine, to reach limits quickly.
func (h *harness) edit(ino ids.Ino, fn func(n *Inode)) {
	h.t.Helper()
	n, err := Stat(h.r(), ino)
	if err != nil {
		h.t.Fatal(err)
	}
	fn(&n)
	h.put(InodeKey(ino), n.Encode())
}

func (h *harness) put(key, value []byte) {
	h.now += 10
	tx := h.x.Begin()
	tx.Writer(ids.Namespace, h.now).Put(key, value)
	if err := tx.Commit(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) expect(want errs.Kind, op Op) {
	h.t.Helper()
	before := Digest(h.r())
	if kind, _ := h.do(op); kind != want {
		h.t.Errorf("%+v: %v, want %v", op, kind, want)
	}
	if want != errs.OK && Digest(h.r()) != before {
		h.t.Errorf("T5: %+v failed and changed the state", op)
	}
}

func TestLinkLimits(t *testing.T) {
	h := start(t)
	file := h.create(Create{Parent: 1, Name: "f", Mode: 0o100644})
	h.edit(file, func(n *Inode) { n.Nlink = MaxLinks - 1 })
	h.expect(errs.OK, Link{file, 1, "last"})
	h.expect(errs.TooManyLinks, Link{file, 1, "more"})

	full := h.create(Create{Parent: 1, Name: "full", Mode: 0o40755})
	h.create(Create{Parent: full, Name: "f", Mode: 0o100644})
	h.create(Create{Parent: full, Name: "d", Mode: 0o40755})
	h.create(Create{Parent: 1, Name: "d", Mode: 0o40755})
	h.edit(full, func(n *Inode) { n.Nlink = math.MaxUint32 })
	h.expect(errs.TooManyLinks, Create{Parent: full, Name: "x", Mode: 0o40755})
	h.expect(errs.TooManyLinks, Rename{OldParent: 1, OldName: "d", NewParent: full, NewName: "x"})
	h.expect(errs.TooManyLinks, Rename{OldParent: 1, OldName: "d", NewParent: full, NewName: "f", Flags: RenameExchange})
	h.expect(errs.TooManyLinks, Rename{OldParent: full, OldName: "f", NewParent: 1, NewName: "d", Flags: RenameExchange})
	h.expect(errs.OK, Rename{OldParent: full, OldName: "d", NewParent: full, NewName: "x"})
	h.expect(errs.OK, Rename{OldParent: 1, OldName: "d", NewParent: full, NewName: "x"})
	h.expect(errs.OK, Create{Parent: full, Name: "g", Mode: 0o100644})
}

// The names of all attributes of an inode fit in what listxattr may return.
func TestXattrNamesLimit(t *testing.T) {
	h := start(t)
	n := 0
	for ; n < MaxXattr/(MaxXattrName+1); n++ {
		h.must(SetXattr{Ino: 1, Name: fmt.Sprintf("user.%0*d", MaxXattrName-5, n), Value: nil})
	}
	h.expect(errs.NoSpace, SetXattr{Ino: 1, Name: "user.one.more"})
	h.expect(errs.OK, SetXattr{Ino: 1, Name: fmt.Sprintf("user.%0*d", MaxXattrName-5, 0), Value: []byte("again")})
	h.check()
	names, err := ListXattr(h.r(), 1)
	if err != nil || len(names) != n {
		t.Fatalf("%d names, want %d: %v", len(names), n, err)
	}
}

// ReleaseAll goes on where it stopped.
func TestReleaseAllInBatches(t *testing.T) {
	h := start(t)
	const total = MaxBatch + 10
	tx := h.x.Begin()
	for range total {
		h.now += 10
		if kind, _ := Apply(tx.Writer(ids.Namespace, h.now), h.now, Tmpfile{Parent: 1, Mode: 0o600}.Encode()); kind != errs.OK {
			t.Fatal(kind)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	var after ids.Ino
	gone := 0
	for rounds := 0; rounds == 0 || after != 0; rounds++ {
		res, err := DecodeReleaseResult(h.must(ReleaseAll{Node: 1, Members: []ids.NodeID{1}, After: after}))
		if err != nil || rounds > 1 {
			t.Fatal(rounds, err)
		}
		gone, after = gone+len(res.Gone), res.Next
	}
	if gone != total || Count(h.r()) != 1 {
		t.Fatalf("%d gone of %d, %d left", gone, total, Count(h.r()))
	}
}

// T4: every moment of an inode and of an entry is in the history of its key.
func TestHistoryOfKeys(t *testing.T) {
	h := start(t)
	file := h.create(Create{Parent: 1, Name: "f", Mode: 0o100644})
	made := h.now
	h.must(SetAttr{Ino: file, Valid: AttrMode, Mode: 0o600})
	h.must(Unlink{Parent: 1, Name: "f"})
	second := h.create(Create{Parent: 1, Name: "f", Mode: 0o40755})
	var inode, entry []string
	h.x.History(ids.Namespace, InodeKey(file), func(since hlc.Timestamp, v []byte, deleted bool) bool {
		n, err := DecodeInode(v)
		inode = append(inode, fmt.Sprintf("%d: %o nlink %d deleted %v %v", since-made, n.Mode, n.Nlink, deleted, err))
		return true
	})
	h.x.History(ids.Namespace, DirentKey(1, "f"), func(since hlc.Timestamp, v []byte, deleted bool) bool {
		ino, typ, _ := DecodeDirent(v)
		entry = append(entry, fmt.Sprintf("%d: %d type %d deleted %v", since-made, ino, typ, deleted))
		return true
	})
	got := strings.Join(append(inode, entry...), "\n")
	want := strings.Join([]string{
		"20: 100600 nlink 0 deleted false <nil>", "10: 100600 nlink 1 deleted false <nil>", "0: 100644 nlink 1 deleted false <nil>",
		fmt.Sprintf("30: %d type 4 deleted false", second), "20: 0 type 0 deleted true", fmt.Sprintf("0: %d type 8 deleted false", file),
	}, "\n")
	if got != want {
		t.Errorf("T4: history is\n%s\nwant\n%s", got, want)
	}
}

// Check finds what it says that it finds (T2, T3, T6).
func TestCheckFindsDamage(t *testing.T) {
	for name, damage := range map[string]func(h *harness){
		"T2: inode 2 has link count 9":       func(h *harness) { h.edit(2, func(n *Inode) { n.Nlink = 9 }) },
		"T2: directory 3 has 7 entries":      func(h *harness) { h.edit(3, func(n *Inode) { n.Entries = 7 }) },
		"T2: entry \"x\" of directory 1 nam": func(h *harness) { h.put(DirentKey(1, "x"), encodeDirent(77, Regular)) },
		"T2: entry \"x\" of directory 1 has": func(h *harness) { h.put(DirentKey(1, "x"), encodeDirent(2, Fifo)) },
		"T2: entry \"x\" lies in inode 2":    func(h *harness) { h.put(DirentKey(2, "x"), encodeDirent(2, Regular)) },
		"T2: orphan 77 has no inode":         func(h *harness) { h.put(orphanKey(77), Orphan{}.encode()) },
		"T2: inode 2 is gone but exists":     func(h *harness) { h.put(orphanKey(2), Orphan{Gone: true}.encode()) },
		"and orphan record: true":            func(h *harness) { h.put(orphanKey(2), Orphan{}.encode()) },
		"T3: the root has a name":            func(h *harness) { h.put(DirentKey(3, "x"), encodeDirent(1, Directory)) },
		"T3: directory 3 has 2 names":        func(h *harness) { h.put(DirentKey(1, "x"), encodeDirent(3, Directory)) },
		"T3: directory 4 lies in 3 but":      func(h *harness) { h.edit(4, func(n *Inode) { n.Parent = 1 }) },
		"T3: directory 3 does not lead up":   func(h *harness) { h.edit(3, func(n *Inode) { n.Parent = 4 }) },
		"T6: inode 2 has 9 bytes":            func(h *harness) { h.edit(2, func(n *Inode) { n.XattrBytes = 9 }) },
		"T6: attributes of inode 77":         func(h *harness) { h.put(XattrKey(77, "user.a"), nil) },
		"T6: inode 2: ":                      func(h *harness) { h.put(InodeKey(2), []byte("x")) },
		"T6: entry \"x\" of directory 1: ":   func(h *harness) { h.put(DirentKey(1, "x"), []byte("x")) },
		"T6: orphan 2: ":                     func(h *harness) { h.put(orphanKey(2), []byte("xx")) },
		"T6: counters say":                   func(h *harness) { h.put(counterKey(), (&counters{next: 2, inodes: 9}).encode()) },
	} {
		h := start(t)
		h.create(Create{Parent: 1, Name: "f", Mode: 0o100644}) // 2
		h.create(Create{Parent: 1, Name: "d", Mode: 0o40755})  // 3
		h.create(Create{Parent: 3, Name: "e", Mode: 0o40755})  // 4
		h.check()
		damage(h)
		var found []string
		Check(h.r(), func(problem string) { found = append(found, problem) })
		if !strings.Contains(strings.Join(found, "\n"), name) {
			t.Errorf("%q not found in %q", name, found)
		}
	}
}
