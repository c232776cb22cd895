package objects

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
	opsFlag  = flag.Int("ops", 80, "length of a random program")
)

// files is how many inodes a random program uses, from 1.
const files = 3

// oracle is what files are to a user: bytes, and for each byte whether it was written.
type oracle map[ids.Ino]*content

type content struct {
	data    []byte
	there   []bool
	set     TimeMask
	a, m, c int64
}

func (w oracle) file(ino ids.Ino) *content {
	if w[ino] == nil {
		w[ino] = &content{}
	}
	return w[ino]
}

// resize grows by holes and shrinks.
func (f *content) resize(size int64) {
	f.data = append(f.data, make([]byte, max(0, size-int64(len(f.data))))...)[:size]
	f.there = append(f.there, make([]bool, max(0, size-int64(len(f.there))))...)[:size]
}

func (f *content) modified(now int64) { f.m, f.c, f.set = now, now, f.set|MtimeSet|CtimeSet }

func (f *content) put(off int64, data []byte, now int64) {
	f.resize(max(int64(len(f.data)), off+int64(len(data))))
	copy(f.data[off:], data)
	for i := range data {
		f.there[off+int64(i)] = true
	}
	f.modified(now)
}

// zero makes holes where the range is in the file.
func (f *content) zero(off, length int64) {
	for i := off; i < min(off+length, int64(len(f.data))); i++ {
		f.data[i], f.there[i] = 0, false
	}
}

// apply carries out an operation that needs no limits checked.
func (w oracle) apply(op Op, data []byte, now int64) (kind errs.Kind, body []byte) {
	switch op := op.(type) {
	case Write:
		if len(data) > 0 {
			w.file(op.Ino).put(op.Off, data, now)
		}
	case Append:
		at := 0
		if w[op.Ino] != nil {
			at = len(w[op.Ino].data)
		}
		if len(data) > 0 {
			w.file(op.Ino).put(int64(at), data, now)
		}
		return errs.OK, encodeSize(int64(at))
	case Truncate:
		w.file(op.Ino).resize(op.Size)
		w.file(op.Ino).modified(now)
	case SetTimes:
		w.file(op.Ino).setTimes(op, now)
	case Drop:
		for _, ino := range op.Inos {
			delete(w, ino)
		}
	case PunchHole:
		if op.Len == 0 {
			return errs.Invalid, nil
		}
		w.file(op.Ino).zero(op.Off, op.Len)
		w.file(op.Ino).modified(now)
	case ZeroRange:
		if op.Len == 0 {
			return errs.Invalid, nil
		}
		f := w.file(op.Ino)
		f.zero(op.Off, op.Len)
		if !op.KeepSize {
			f.resize(max(int64(len(f.data)), op.Off+op.Len))
		}
		f.modified(now)
	case Allocate:
		if op.Len == 0 {
			return errs.Invalid, nil
		}
		f := w.file(op.Ino)
		if end := op.Off + op.Len; !op.KeepSize && end > int64(len(f.data)) {
			f.resize(end)
			f.modified(now)
		}
		f.c, f.set = now, f.set|CtimeSet
	case Clone:
		return w.clone(op, now)
	}
	return errs.OK, nil
}

func (f *content) setTimes(op SetTimes, now int64) {
	for _, s := range []struct {
		t     Time
		field *int64
		bit   TimeMask
	}{{op.Atime, &f.a, AtimeSet}, {op.Mtime, &f.m, MtimeSet}} {
		if s.t.Kind != TimeOmit {
			f.set |= s.bit
			if *s.field = now; s.t.Kind == TimeAt {
				*s.field = s.t.At
			}
		}
	}
	if !op.KeepCtime {
		f.c, f.set = now, f.set|CtimeSet
	}
}

func (w oracle) clone(op Clone, now int64) (errs.Kind, []byte) {
	if op.Src == op.Dst && op.Len > 0 && max(op.SrcOff, op.DstOff) < min(op.SrcOff, op.DstOff)+op.Len {
		return errs.Invalid, nil
	}
	src := w[op.Src]
	if src == nil || op.SrcOff >= int64(len(src.data)) || op.Len == 0 {
		return errs.OK, encodeSize(0)
	}
	end := min(op.SrcOff+op.Len, int64(len(src.data)))
	data, there := slices.Clone(src.data[op.SrcOff:end]), slices.Clone(src.there[op.SrcOff:end])
	dst := w.file(op.Dst)
	dst.put(op.DstOff, data, now)
	copy(dst.there[op.DstOff:], there)
	return errs.OK, encodeSize(end - op.SrcOff)
}

// dump prints files byte by byte, a hole as a dot.
func (w oracle) dump() string {
	var b strings.Builder
	for ino := ids.Ino(1); ino <= files; ino++ {
		f := w[ino]
		if f == nil {
			fmt.Fprintf(&b, "%d: no record\n", ino)
			continue
		}
		a := Attr{Size: int64(len(f.data)), Set: f.set, Atime: f.a, Mtime: f.m, Ctime: f.c}
		text := bytes.Clone(f.data)
		for i, there := range f.there {
			if there {
				a.Bytes++
			} else {
				text[i] = '.'
			}
		}
		fmt.Fprintf(&b, "%d: %s\n%s\n", ino, describe(a), text)
	}
	return b.String()
}

// dump prints the same from the queries.
func (h *harness) dump(r index.Reader) string {
	var b strings.Builder
	for ino := ids.Ino(1); ino <= files; ino++ {
		a, ok := Stat(r, ino)
		if !ok {
			fmt.Fprintf(&b, "%d: no record\n", ino)
			continue
		}
		text := h.read(r, ino, 0, MaxSize)
		Map(r, ino, 0, MaxSize, func(p Piece) bool {
			if p.Hole {
				copy(text[p.FileOff:], bytes.Repeat([]byte{'.'}, int(p.Len)))
			}
			return true
		})
		a.Extents, a.Epoch = 0, 0
		fmt.Fprintf(&b, "%d: %s\n%s\n", ino, describe(a), text)
	}
	return b.String()
}

// program draws operations on a few small files.
type program struct{ rng *rand.Rand }

func (p program) ino() ids.Ino     { return 1 + ids.Ino(p.rng.IntN(files)) }
func (p program) upTo(n int) int64 { return int64(p.rng.IntN(n + 1)) }
func (p program) coin() bool       { return p.rng.IntN(2) == 0 }
func (p program) data(n int) []byte {
	return bytes.Repeat([]byte{byte('a' + p.rng.IntN(26))}, p.rng.IntN(n))
}

func (p program) time() Time { return Time{TimeKind(p.rng.IntN(3)), p.rng.Int64() - p.rng.Int64()} }

func (p program) op() (Op, []byte) {
	const size = 700
	ino, off, length, keep := p.ino(), p.upTo(size), p.upTo(100), p.coin()
	switch p.rng.IntN(16) {
	case 0, 1, 2, 3:
		return Write{ino, off}, p.data(60)
	case 4: // the same blocks again and again
		return Write{ino, off / 16 * 16}, bytes.Repeat([]byte{'='}, 16)
	case 5, 6:
		return Append{ino}, p.data(30)
	case 7:
		return Truncate{ino, off}, nil
	case 8:
		return Truncate{ino, 0}, nil
	case 9:
		return SetTimes{ino, p.time(), p.time(), keep}, nil
	case 10:
		if p.rng.IntN(4) > 0 {
			return PunchHole{ino, off, length}, nil
		}
		return Drop{[]ids.Ino{ino, p.ino()}}, nil
	case 11:
		return PunchHole{ino, off, length}, nil
	case 12:
		return ZeroRange{ino, off, length, keep}, nil
	case 13:
		return Allocate{ino, off, length, keep}, nil
	case 14:
		return Clone{ino, off, p.ino(), p.upTo(size), p.upTo(300)}, nil
	default:
		return Purge{}, nil
	}
}

// TestRandomPrograms compares random programs with the oracle: every kind and result, the bytes, sizes
// and times, which are also checked for O2, O3 and O6 after every operation, and every past state
// again at the end (O4). A failed operation changes nothing (O5). A second replica with other places
// in its log that commits many operations at once comes to the same results and digests (O1).
func TestRandomPrograms(t *testing.T) {
	seeds := 8
	if testing.Short() {
		seeds = 4
	}
	for seed := range int64(seeds) {
		if *seedFlag < 0 || *seedFlag == seed {
			t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { newRun(t, seed).run() })
		}
	}
	if *seedFlag >= int64(seeds) {
		newRun(t, *seedFlag).run()
	}
}

// run is one random program.
type run struct {
	*harness
	w       oracle
	p       program
	text    strings.Builder // what was done
	past    map[hlc.Timestamp]string
	digest  uint64 // of the state, to see that a failed operation changed nothing
	replica *harness
	tx      *index.Tx // of the replica
}

func newRun(t *testing.T, seed int64) *run {
	r := &run{harness: newHarness(t), w: oracle{}, p: program{rand.New(rand.NewPCG(uint64(seed), 2))}, replica: newHarness(t)}
	r.replica.next, r.replica.step = 1<<40, 128
	r.past = map[hlc.Timestamp]string{0: r.w.dump()}
	r.digest = Digest(r.r())
	return r
}

func (r *run) run() {
	for range *opsFlag {
		op, data := r.p.op()
		r.one(op, data)
		if r.p.rng.IntN(40) == 0 { // enough extents for a new epoch
			for i := range int64(inlineDelete) {
				r.one(Write{1, 10 * i}, []byte("burst"))
			}
		}
		if r.p.rng.IntN(7) == 0 {
			r.commit()
			if b := Digest(r.replica.x.At(shard, r.now)); b != r.digest {
				r.t.Fatalf("O1: %sdigests %x and %x", &r.text, r.digest, b)
			}
		}
	}
	r.commit()
	r.replica.now = r.now
	for _, at := range slices.Sorted(maps.Keys(r.past)) {
		want := r.past[at]
		if r.p.rng.IntN(3) > 0 {
			continue
		}
		moment := at + hlc.Timestamp(r.p.rng.IntN(10)) // operations are 10 apart
		if got := r.dump(r.at(moment)); got != want {
			r.t.Fatalf("O4: %sas of %d:\n%s\nwant:\n%s", &r.text, moment, got, want)
		}
		if got := r.replica.dump(r.replica.at(moment)); got != want {
			r.t.Fatalf("O4: %sreplica as of %d:\n%s\nwant:\n%s", &r.text, moment, got, want)
		}
	}
}

// one carries out an operation everywhere and compares.
func (r *run) one(op Op, data []byte) {
	fmt.Fprintf(&r.text, "%d %T%+v %q\n", r.now+10, op, op, data)
	kind, body := r.do(op, data)
	want, wantBody := r.w.apply(op, data, int64(r.now))
	if _, purge := op.(Purge); !purge && (kind != want || !bytes.Equal(body, wantBody)) {
		r.t.Fatalf("%s%v %x, want %v %x", &r.text, kind, body, want, wantBody)
	}
	before := r.digest
	if r.digest = Digest(r.r()); kind != errs.OK && r.digest != before {
		r.t.Fatalf("O5: %sfailed and changed the state", &r.text)
	}
	if r.tx == nil {
		r.tx = r.replica.x.Begin()
	}
	k, b := Apply(r.tx.Writer(shard, r.now), r.now, op.Encode(), r.replica.inLog(data))
	if k != kind || !bytes.Equal(b, body) {
		r.t.Fatalf("O1: %s%v %x at one replica, %v %x at another", &r.text, kind, body, k, b)
	}
	r.past[r.now] = r.w.dump()
	if got := r.dump(r.r()); got != r.past[r.now] {
		r.t.Fatalf("%sstate:\n%s\nwant:\n%s", &r.text, got, r.past[r.now])
	}
	r.check()
	r.seeks()
}

// seeks compares SeekData and SeekHole with the oracle at one place.
func (r *run) seeks() {
	ino, off := r.p.ino(), r.p.upTo(800)
	var there []bool
	if f := r.w[ino]; f != nil {
		there = f.there
	}
	first := func(what bool) (int64, bool) {
		if off >= int64(len(there)) {
			return 0, false
		}
		if i := slices.Index(there[off:], what); i >= 0 {
			return off + int64(i), true
		}
		return int64(len(there)), !what // the end of the file counts as a hole
	}
	wantData, hasData := first(true)
	wantHole, hasHole := first(false)
	if at, ok := SeekData(r.r(), ino, off); ok != hasData || ok && at != wantData {
		r.t.Fatalf("%sSeekData of %d from %d: %d %v, want %d %v", &r.text, ino, off, at, ok, wantData, hasData)
	}
	if at, ok := SeekHole(r.r(), ino, off); ok != hasHole || at != wantHole {
		r.t.Fatalf("%sSeekHole of %d from %d: %d %v, want %d %v", &r.text, ino, off, at, ok, wantHole, hasHole)
	}
}

func (r *run) commit() {
	if r.tx != nil {
		if err := r.tx.Commit(); err != nil {
			r.t.Fatal(err)
		}
		r.tx = nil
	}
}
