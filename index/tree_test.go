package index

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"dfs/hlc"
	"dfs/ids"
)

// The tree agrees with a map and a sorted list while it grows to several levels and shrinks again, and
// snapshots stay as they were.
func TestTree(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var tr tree[int]
	want := make(map[string]int)
	type moment struct {
		tree tree[int]
		want map[string]int
	}
	var moments []moment
	for i := range 20_000 {
		key := fmt.Appendf(nil, "%05d", rng.IntN(8000))
		grow := i%10_000 < 6000
		if rng.IntN(10) < 7 == grow {
			tr.set(key, i)
			want[string(key)] = i
		} else {
			tr.delete(key)
			delete(want, string(key))
		}
		if i%2500 == 0 {
			moments = append(moments, moment{tr.snapshot(), maps.Clone(want)})
		}
	}
	for key := range maps.Clone(want) {
		if len(want) > 50 {
			tr.delete([]byte(key))
			delete(want, key)
		}
	}
	for _, m := range append(moments, moment{tr, want}) {
		checkTree(t, &m.tree, m.want, rng)
	}
	for key := range want {
		tr.delete([]byte(key))
	}
	if tr.root != nil || tr.count != 0 {
		t.Fatalf("an emptied tree has %d keys", tr.count)
	}
}

func checkTree(t *testing.T, tr *tree[int], want map[string]int, rng *rand.Rand) {
	t.Helper()
	keys := slices.Sorted(maps.Keys(want))
	if tr.count != len(keys) {
		t.Fatalf("%d keys, want %d", tr.count, len(keys))
	}
	i := 0
	for k, v, ok := tr.ceil(nil, false); ok; k, v, ok = tr.ceil(k, true) {
		if i >= len(keys) || string(k) != keys[i] || v != want[keys[i]] {
			t.Fatalf("key %d is %q=%d", i, k, v)
		}
		i++
	}
	if i != len(keys) {
		t.Fatalf("%d keys in order, want %d", i, len(keys))
	}
	for range 500 {
		key := fmt.Sprintf("%05d", rng.IntN(8100))
		at := sort.SearchStrings(keys, key)
		k, _, ok := tr.ceil([]byte(key), false)
		if ok != (at < len(keys)) || ok && string(k) != keys[at] {
			t.Fatalf("ceil of %q is %q", key, k)
		}
		k, _, ok = tr.lower([]byte(key))
		if ok != (at > 0) || ok && string(k) != keys[at-1] {
			t.Fatalf("lower of %q is %q", key, k)
		}
		v, ok := tr.get([]byte(key))
		if w, has := want[key]; ok != has || v != w {
			t.Fatalf("get of %q is %d %v", key, v, ok)
		}
	}
}

// FuzzKeys: history keys sort by subgroup, key and then the later timestamp first, and lie in the ranges
// in which they are looked for.
func FuzzKeys(f *testing.F) {
	f.Add([]byte("a"), []byte("a\x00"), int64(1), int64(2))
	f.Add([]byte{0}, []byte{0, 0xff}, int64(-1), int64(1<<62))
	f.Add([]byte{}, []byte{1}, int64(0), int64(0))
	f.Fuzz(func(t *testing.T, k1, k2 []byte, t1, t2 int64) {
		const sub = ids.Subgroup(300)
		h1, h2 := appendHistory(nil, sub, k1, hlc.Timestamp(t1)), appendHistory(nil, sub, k2, hlc.Timestamp(t2))
		want := bytes.Compare(k1, k2)
		if want == 0 {
			want = -compare(t1, t2)
		}
		if got := bytes.Compare(h1, h2); got != want {
			t.Fatalf("%x at %d against %x at %d: %d, want %d", k1, t1, k2, t2, got, want)
		}
		group := h1[:len(h1)-8]
		if key := appendUnescaped(nil, group[prefixLen:len(group)-2]); !bytes.Equal(key, k1) || rowTime(h1) != hlc.Timestamp(t1) {
			t.Fatalf("%x at %d reads back as %x at %d", k1, t1, key, rowTime(h1))
		}
		in := func(lo, hi, k []byte) bool { return bytes.Compare(lo, k) <= 0 && bytes.Compare(k, hi) < 0 }
		lo, hi := historyRange(sub, k1, k2)
		if got, want := in(lo, hi, h1), bytes.Compare(k1, k2) < 0; got != want {
			t.Fatalf("%x in [%x, %x): %v", k1, k1, k2, got)
		}
		if in(lo, hi, h2) {
			t.Fatalf("%x in [%x, %x)", k2, k1, k2)
		}
		if lo, hi := historyRange(sub, k1, nil); !in(lo, hi, h1) || in(lo, hi, appendHistory(nil, sub+1, k1, 0)) {
			t.Fatalf("the rest from %x on", k1)
		}
		lo, hi = historyOf(sub, k1, hlc.Timestamp(t1))
		if got, want := in(lo, hi, h2), bytes.Equal(k1, k2) && t2 <= t1; got != want {
			t.Fatalf("%x at %d among those of %x until %d: %v", k2, t2, k1, t1, got)
		}
		r := row(appendRow(nil, hlc.Timestamp(t1), k2))
		if r.since() != hlc.Timestamp(t1) || !bytes.Equal(r.value(), k2) || binary.BigEndian.Uint64(r) != uint64(t1) {
			t.Fatalf("row %x", r)
		}
	})
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
