package namespace

import (
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
)

// harness is a namespace over an index in memory, with a clock that goes in steps of 10.
type harness struct {
	t   testing.TB
	x   *index.Index
	now hlc.Timestamp
}

func newHarness(t testing.TB) *harness {
	return &harness{t: t, x: index.New(index.NewMem(), index.Config{})}
}

// start is a harness in which Init is done.
func start(t testing.TB) *harness {
	h := newHarness(t)
	h.must(Init{})
	return h
}

// apply carries out encoded bytes in a transaction of their own, as the engine does.
func (h *harness) apply(op []byte) (errs.Kind, []byte) {
	h.now += 10
	tx := h.x.Begin()
	kind, body := Apply(tx.Writer(ids.Namespace, h.now), h.now, op)
	if err := tx.Commit(); err != nil {
		h.t.Fatal(err)
	}
	return kind, body
}

func (h *harness) do(op Op) (errs.Kind, []byte) { return h.apply(op.Encode()) }

func (h *harness) must(op Op) []byte {
	h.t.Helper()
	kind, body := h.do(op)
	if kind != errs.OK {
		h.t.Fatalf("%+v: %v", op, kind)
	}
	return body
}

// create makes an object and returns its number.
func (h *harness) create(op Create) ids.Ino {
	h.t.Helper()
	res, err := DecodeCreateResult(h.must(op))
	if err != nil {
		h.t.Fatal(err)
	}
	return res.Ino
}

func (h *harness) at(t hlc.Timestamp) index.Reader { return h.x.At(ids.Namespace, t) }
func (h *harness) r() index.Reader                 { return h.at(h.now) }

// check verifies T2, T3 and T6.
func (h *harness) check() {
	h.t.Helper()
	Check(h.r(), func(problem string) { h.t.Error(problem) })
	if h.t.Failed() {
		h.t.FailNow()
	}
}

// dump prints the whole state as the queries tell it.
func dump(r index.Reader) string {
	var b strings.Builder
	var seen = map[ids.Ino]bool{}
	var visit func(ino ids.Ino)
	visit = func(ino ids.Ino) {
		n, err := Stat(r, ino)
		if err != nil {
			fmt.Fprintf(&b, "%d: %v\n", ino, err)
			return
		}
		if seen[ino] {
			return
		}
		seen[ino] = true
		fmt.Fprintf(&b, "%d: %s\n", ino, describe(&n))
		names, _ := ListXattr(r, ino)
		for _, name := range names {
			v, err := GetXattr(r, ino, name)
			fmt.Fprintf(&b, "  %s = %s %v\n", short(name), short(fmt.Sprintf("%q", v)), err)
		}
		var below []ids.Ino
		List(r, ino, "", func(name string, child ids.Ino, t Type) bool {
			fmt.Fprintf(&b, "  %s -> %d %d\n", short(name), child, t)
			below = append(below, child)
			return true
		})
		for _, child := range below {
			visit(child)
		}
	}
	visit(ids.RootIno)
	Orphans(r, 0, func(ino ids.Ino, o Orphan) bool {
		fmt.Fprintf(&b, "orphan %d: gone %v released %v\n", ino, o.Gone, o.Released)
		if !o.Gone {
			visit(ino)
		}
		return true
	})
	fmt.Fprintf(&b, "count %d\n", Count(r))
	return b.String()
}

// short prints a long string by its length and its hash.
func short(s string) string {
	if len(s) < 100 {
		return s
	}
	return fmt.Sprintf("%s... (%d bytes, crc %08x)", s[:8], len(s), crc32.ChecksumIEEE([]byte(s)))
}

// describe prints an inode on one line, leaving out what is 0 and times equal to the btime.
func describe(n *Inode) string {
	s := fmt.Sprintf("%06o nlink=%d owner=%d:%d b=%d", n.Mode, n.Nlink, n.UID, n.GID, n.Btime)
	for _, f := range []struct {
		name  string
		value int64
		usual int64
	}{
		{"a", n.Atime, n.Btime}, {"m", n.Mtime, n.Btime}, {"c", n.Ctime, n.Btime}, {"rdev", int64(n.Rdev), 0},
		{"parent", int64(n.Parent), 0}, {"entries", int64(n.Entries), 0}, {"xattr", int64(n.XattrBytes), 0},
	} {
		if f.value != f.usual {
			s += fmt.Sprintf(" %s=%d", f.name, f.value)
		}
	}
	if n.Linkable {
		s += " linkable"
	}
	if n.Target != "" {
		s += " target=" + short(n.Target)
	}
	return s
}
