package objects

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"dfs/errs"
	"dfs/ids"
)

// ops has one operation of each kind with every field set.
var ops = []Op{
	Write{Ino: math.MaxUint64, Off: MaxSize},
	Append{Ino: 2},
	Truncate{Ino: 2, Size: 3},
	SetTimes{Ino: 2, Atime: Time{TimeAt, math.MinInt64}, Mtime: Time{Kind: TimeNow}, KeepCtime: true},
	Drop{Inos: []ids.Ino{2, 3}},
	PunchHole{Ino: 2, Off: 3, Len: 4},
	ZeroRange{Ino: 2, Off: 3, Len: 4, KeepSize: true},
	Allocate{Ino: 2, Off: 3, Len: 4, KeepSize: true},
	Clone{Src: 2, SrcOff: 3, Dst: 4, DstOff: 5, Len: 6},
	Purge{},
}

func TestOpsRoundTrip(t *testing.T) {
	seen := map[code]bool{}
	for _, op := range ops {
		b := op.Encode()
		seen[code(b[0])] = true
		got, err := Decode(b)
		if err != nil || !reflect.DeepEqual(got, op) {
			t.Errorf("%T: got %+v, %v; want %+v", op, got, err, op)
		}
		for n := range len(b) {
			if got, err := Decode(b[:n]); errs.KindOf(err) != errs.Invalid {
				t.Errorf("%T cut to %d of %d bytes: %+v, %v", op, n, len(b), got, err)
			}
		}
		if _, err := Decode(append(b[:len(b):len(b)], 0)); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%T with a byte too many: %v", op, err)
		}
	}
	for c := codeWrite; c <= codePurge; c++ {
		if !seen[c] {
			t.Errorf("code %d has no operation here", c)
		}
	}
}

// Numbers that are no offsets, and lengths that make no sense, are refused.
func TestDecodeRefuses(t *testing.T) {
	for _, op := range []Op{
		Write{Ino: 1, Off: -1}, Truncate{Ino: 1, Size: -1}, PunchHole{Ino: 1, Off: math.MinInt64, Len: 1},
		SetTimes{Ino: 1, Atime: Time{Kind: 3}}, Clone{Len: -5}, Drop{Inos: make([]ids.Ino, MaxBatch+1)},
	} {
		if got, err := Decode(op.Encode()); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%T: %+v, %v", op, got, err)
		}
	}
	huge := []byte{byte(codeDrop), 0xff, 0xff, 0xff, 0xff, 0x0f}
	if allocs := testing.AllocsPerRun(10, func() { Decode(huge) }); allocs > 5 {
		t.Errorf("a length that was read made %v allocations", allocs)
	}
}

// O6: what is written decodes to the same, and what cannot have been written does not decode.
func TestRecordsRoundTrip(t *testing.T) {
	for _, a := range []Attr{
		{},
		{Size: MaxSize, Bytes: MaxSize, Extents: math.MaxUint64, Epoch: math.MaxUint32, Set: allSet},
		{Set: MtimeSet | CtimeSet, Atime: math.MinInt64, Mtime: math.MaxInt64, Ctime: -1},
	} {
		b := a.Encode()
		if got, err := DecodeAttr(b); err != nil || got != a {
			t.Errorf("got %+v, %v; want %+v", got, err, a)
		}
		for i := range len(b) {
			if _, err := DecodeAttr(b[:i]); errs.KindOf(err) != errs.Corrupt {
				t.Errorf("O6: %d of %d bytes of %+v decode: %v", i, len(b), a, err)
			}
		}
	}
	e := Extent{Ino: 7, Epoch: 8, FileOff: MaxSize - 5, Len: 5, LSN: math.MaxUint64, Off: 9}
	if got, err := DecodeExtent(e.Key(), e.Encode()); err != nil || got != e {
		t.Errorf("got %+v, %v; want %+v", got, err, e)
	}
	for _, bad := range []Extent{
		{FileOff: MaxSize - 5, Len: 6}, {Len: 0}, {Len: MaxExtent + 1}, {FileOff: -1, Len: 1}, {Len: 1, Off: -1},
	} {
		if got, err := DecodeExtent(bad.Key(), bad.Encode()); errs.KindOf(err) != errs.Corrupt {
			t.Errorf("O6: %+v decodes to %+v, %v", bad, got, err)
		}
	}
	if _, err := DecodeExtent(AttrKey(1), e.Encode()); errs.KindOf(err) != errs.Corrupt {
		t.Errorf("O6: an extent with the key of attributes decodes: %v", err)
	}
}

func TestResultsRefuseDamage(t *testing.T) {
	for _, b := range []string{"", "\xff", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x05\x05"} {
		if n, err := DecodeOffset([]byte(b)); errs.KindOf(err) != errs.Corrupt {
			t.Errorf("offset %q: %d, %v", b, n, err)
		}
		if n, err := DecodeLength([]byte(b)); errs.KindOf(err) != errs.Corrupt {
			t.Errorf("length %q: %d, %v", b, n, err)
		}
		if more, err := DecodeMore([]byte(b)); errs.KindOf(err) != errs.Corrupt {
			t.Errorf("more %q: %v, %v", b, more, err)
		}
	}
}

func TestTimesMerge(t *testing.T) {
	a := Attr{Atime: 1, Mtime: 2, Ctime: 3}
	for set, want := range map[TimeMask][3]int64{
		0: {10, 20, 30}, AtimeSet: {1, 20, 30}, MtimeSet: {10, 2, 30}, CtimeSet: {10, 20, 30}, allSet: {1, 2, 30},
	} {
		a.Set = set
		if at, mt, ct := a.Times(10, 20, 30); [3]int64{at, mt, ct} != want {
			t.Errorf("set %b: %d %d %d, want %v", set, at, mt, ct, want)
		}
	}
	if _, _, ct := a.Times(0, 0, 2); a.Set == allSet && ct != 3 {
		t.Errorf("ctime %d, want the later one", ct)
	}
}

// Check finds what it says that it finds (O2, O3, O6).
func TestCheckFindsDamage(t *testing.T) {
	put := func(h *harness, key, value []byte) {
		h.now += 10
		tx := h.x.Begin()
		tx.Writer(shard, h.now).Put(key, value)
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	extent := func(e Extent) func(h *harness) {
		return func(h *harness) { put(h, e.Key(), e.Encode()) }
	}
	for name, damage := range map[string]func(h *harness){
		"O2: extents of file 2 overlap at 3":  extent(Extent{Ino: 2, FileOff: 3, Len: 1}),
		"O2: file 2 has size 5, but an exten": extent(Extent{Ino: 2, FileOff: 9, Len: 1}),
		"O3: file 2 has 5 bytes in 1 extents": extent(Extent{Ino: 2, FileOff: 9, Len: 1}),
		"O3: counters say":                    func(h *harness) { put(h, counterKey(), (&counters{bytes: 9}).encode()) },
		"O6: extents of file 9":               extent(Extent{Ino: 9, FileOff: 9, Len: 1}),
		"O6: the extents of file 2 at epoch ": func(h *harness) { put(h, garbageKey(2, 0), nil) },
		"O6: file 2: ":                        func(h *harness) { put(h, AttrKey(2), nil) },
		"O6: extent":                          func(h *harness) { put(h, ExtentKey(2, 0, 0), nil) },
	} {
		h := newHarness(t)
		h.must(Write{Ino: 2}, []byte("hello"))
		h.check()
		damage(h)
		var found []string
		Check(h.r(), func(problem string) { found = append(found, problem) })
		if !strings.Contains(strings.Join(found, "\n"), name) {
			t.Errorf("%q not found in %q", name, found)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, op := range ops {
		f.Add(op.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		op, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(op.Encode())
		if err != nil || !reflect.DeepEqual(op, again) {
			t.Fatalf("%+v became %+v, %v", op, again, err)
		}
	})
}

// FuzzRecords feeds the decoders of records and results.
func FuzzRecords(f *testing.F) {
	a := Attr{Size: 5, Bytes: 5, Extents: 1, Set: MtimeSet, Mtime: 6}
	e := Extent{Ino: 2, FileOff: 3, Len: 4, LSN: 5, Off: 6}
	f.Add(e.Key(), e.Encode())
	f.Add(AttrKey(2), a.Encode())
	f.Fuzz(func(t *testing.T, k, v []byte) {
		if a, err := DecodeAttr(v); err == nil {
			if again, err := DecodeAttr(a.Encode()); err != nil || again != a {
				t.Fatalf("%+v became %+v, %v", a, again, err)
			}
		}
		if e, err := DecodeExtent(k, v); err == nil {
			if again, err := DecodeExtent(e.Key(), e.Encode()); err != nil || again != e {
				t.Fatalf("%+v became %+v, %v", e, again, err)
			}
		}
		DecodeOffset(v)
		DecodeMore(v)
	})
}

// FuzzApply applies any bytes, with any data, to a state that has a bit of everything: nothing panics,
// the invariants hold, and what fails changes nothing (O5).
func FuzzApply(f *testing.F) {
	for _, op := range ops {
		f.Add(op.Encode(), []byte("data"))
	}
	f.Fuzz(func(t *testing.T, b, data []byte) {
		h := newHarness(t)
		h.must(Write{Ino: 1, Off: 10}, []byte("first"))
		h.must(Write{Ino: 1, Off: 20}, []byte("second"))
		h.must(Truncate{Ino: 2, Size: MaxSize}, nil)
		h.must(Write{Ino: 2, Off: MaxSize - 5}, []byte("last"))
		h.must(Clone{Src: 1, Dst: 3, Len: 100}, nil)
		before := Digest(h.r())
		kind, _ := h.apply(b, data)
		h.check()
		if kind != errs.OK && Digest(h.r()) != before {
			t.Fatalf("O5: %v changed the state", kind)
		}
	})
}
