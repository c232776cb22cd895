package namespace

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
)

var (
	seedFlag = flag.Int64("seed", -1, "run only the random program of this seed")
	opsFlag  = flag.Int("ops", 150, "length of a random program")
)

// program draws operations that make sense often enough: few names, and inodes that exist.
type program struct {
	rng  *rand.Rand
	next func() ids.Ino // the next inode number, as a bound of those worth naming
}

func (p *program) ino() ids.Ino { return 1 + ids.Ino(p.rng.Uint64N(uint64(p.next()))) }

// dir often is the root, so that trees grow from there.
func (p *program) dir() ids.Ino {
	if p.rng.IntN(3) == 0 {
		return ids.RootIno
	}
	return p.ino()
}

func (p *program) name() string {
	names := []string{"a", "b", "c", "aa", "b", "c", "a", ".", "x/y", "a", "b", "c"}
	return names[p.rng.IntN(len(names))]
}

func (p *program) pick(values ...uint32) uint32 { return values[p.rng.IntN(len(values))] }

func (p *program) members() []ids.NodeID {
	return [][]ids.NodeID{{1, 2, 3}, {1, 2}, {2, 3}, {3}, {1, 2, 3}, nil}[p.rng.IntN(6)]
}

func (p *program) inos() (list []ids.Ino) {
	for range p.rng.IntN(6) {
		list = append(list, p.ino())
	}
	return list
}

func (p *program) op() Op {
	node := ids.NodeID(1 + p.rng.IntN(3))
	xattrs := []string{"user.a", "user.b", capabilities}
	xattr := xattrs[p.rng.IntN(len(xattrs))]
	coin := p.rng.IntN(2) == 0
	switch p.rng.IntN(20) {
	case 0, 1, 2, 3, 4:
		return Create{Parent: p.dir(), Name: p.name(), Exclusive: coin, UID: p.pick(0, 5), GID: p.pick(0, 6), Umask: p.pick(0, 0o22),
			Mode: p.pick(0o40000, 0o40000, 0o100000, 0o20000, 0o10000) | p.pick(0o755, 0o2775, 0o4711, 0o666), Rdev: 9}
	case 5:
		return Create{Parent: p.dir(), Name: p.name(), Mode: 0o120777, Target: "t", Umask: 0o22}
	case 6:
		return Tmpfile{Parent: p.dir(), Mode: 0o600, Linkable: coin}
	case 7:
		return Link{Ino: p.ino(), Parent: p.dir(), Name: p.name()}
	case 8, 9:
		return Unlink{Parent: p.dir(), Name: p.name()}
	case 10:
		return Rmdir{Parent: p.dir(), Name: p.name()}
	case 11, 12, 13, 14:
		return Rename{OldParent: p.dir(), OldName: p.name(), NewParent: p.dir(), NewName: p.name(),
			Flags: RenameFlags(p.pick(0, 0, 0, 1, 2, 2, 3, 4, 5, 6)), UID: 1}
	case 15:
		return SetAttr{Ino: p.ino(), Valid: AttrMask(p.rng.Uint32N(1 << 9)), Mode: p.pick(0o777, 0o6755, 0o40600, 0o2666),
			UID: p.pick(0, 5), GID: p.pick(0, 6), Atime: p.rng.Int64(), Mtime: -p.rng.Int64(), Ctime: 5}
	case 16:
		return SetXattr{Ino: p.ino(), Name: xattr, Value: []byte{byte(p.pick(0, 1, 255))}, Flags: XattrFlags(p.pick(0, 0, 0, 1, 2, 3))}
	case 17:
		if coin {
			return Touch{p.ino()}
		}
		return RemoveXattr{Ino: p.ino(), Name: xattr}
	case 18:
		if coin {
			return Dropped{p.inos()}
		}
		return ReleaseAll{Node: node, Members: p.members(), After: p.ino() - 1}
	default:
		return Release{Node: node, Members: p.members(), Inos: p.inos()}
	}
}

// TestRandomPrograms compares random programs with the oracle: every kind, the state, which is also
// checked for T2, T3 and T6 after every operation, and every past state again at the end (T4). A
// failed operation changes nothing (T5). A second replica that commits many operations at once
// comes to the same results and digests (T1).
func TestRandomPrograms(t *testing.T) {
	seeds := 14
	if testing.Short() {
		seeds = 8
	}
	for seed := range int64(seeds) {
		if *seedFlag < 0 || *seedFlag == seed {
			t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { runProgram(t, seed) })
		}
	}
	if *seedFlag >= int64(seeds) {
		runProgram(t, *seedFlag)
	}
}

func runProgram(t *testing.T, seed int64) {
	h, w := newHarness(t), newOracle()
	replica := &replica{x: index.New(index.NewMem(), index.Config{})}
	p := &program{rng: rand.New(rand.NewPCG(uint64(seed), 1)), next: func() ids.Ino { return w.next }}
	var text strings.Builder
	past := map[hlc.Timestamp]string{0: w.dump()}
	before := Digest(h.r())
	for i := range *opsFlag {
		op := p.op()
		if i == 0 {
			op = Init{UID: 3}
		}
		fmt.Fprintf(&text, "%d %T%+v\n", h.now+10, op, op)
		kind, body := h.do(op)
		if want := w.apply(op, int64(h.now)); kind != want {
			t.Fatalf("%s%v, want %v", &text, kind, want)
		}
		digest := Digest(h.r())
		if kind != errs.OK && (digest != before || body != nil) {
			t.Fatalf("T5: %sfailed and changed the state", &text)
		}
		before = digest
		replica.apply(t, h.now, op, kind, body)
		past[h.now] = w.dump()
		if got := dump(h.r()); got != past[h.now] {
			t.Fatalf("%sstate:\n%s\nwant:\n%s", &text, got, past[h.now])
		}
		if h.check(); p.rng.IntN(7) == 0 {
			replica.commit(t)
			if b := Digest(replica.x.At(ids.Namespace, h.now)); b != digest {
				t.Fatalf("T1: %sdigests %x and %x", &text, digest, b)
			}
		}
	}
	replica.commit(t)
	for _, at := range slices.Sorted(maps.Keys(past)) {
		want := past[at]
		if p.rng.IntN(2) == 0 {
			continue
		}
		moment := at + hlc.Timestamp(p.rng.IntN(10)) // operations are 10 apart
		if got := dump(h.at(moment)); got != want {
			t.Fatalf("T4: %sas of %d:\n%s\nwant:\n%s", &text, moment, got, want)
		}
		if a, b := Digest(h.at(at)), Digest(replica.x.At(ids.Namespace, at)); a != b {
			t.Fatalf("T1: %sdigests as of %d: %x and %x", &text, at, a, b)
		}
	}
}

// replica applies many operations in one transaction.
type replica struct {
	x  *index.Index
	tx *index.Tx
}

func (r *replica) apply(t *testing.T, now hlc.Timestamp, op Op, kind errs.Kind, body []byte) {
	if r.tx == nil {
		r.tx = r.x.Begin()
	}
	k, b := Apply(r.tx.Writer(ids.Namespace, now), now, op.Encode())
	if k != kind || !bytes.Equal(b, body) {
		t.Fatalf("T1: %+v: %v %x at one replica, %v %x at another", op, kind, body, k, b)
	}
}

func (r *replica) commit(t *testing.T) {
	if r.tx != nil {
		if err := r.tx.Commit(); err != nil {
			t.Fatal(err)
		}
		r.tx = nil
	}
}
