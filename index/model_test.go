package index

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
)

// model is what an Index should be, in the most stupid way: all versions of all keys in a list.
type model map[ids.Subgroup]map[string][]version

type version struct {
	at      hlc.Timestamp
	value   string
	deleted bool
}

func (m model) put(sub ids.Subgroup, key string, v version) {
	if m[sub] == nil {
		m[sub] = make(map[string][]version)
	}
	all := m[sub][key]
	newest := version{deleted: true}
	if len(all) > 0 {
		newest = all[len(all)-1]
	}
	if v.deleted && newest.deleted {
		return
	}
	if len(all) > 0 && newest.at == v.at {
		all = all[:len(all)-1]
	}
	if passing([]byte(key)) {
		all = nil
	}
	m[sub][key] = append(all, v)
}

// passing says which keys of the tests are passing ones.
func passing(key []byte) bool { return len(key) > 0 && key[0] == 2 }

func (m model) write(w Writer, sub ids.Subgroup, key []byte, v version) {
	m.put(sub, string(key), v)
	switch {
	case v.deleted && passing(key):
		w.DeletePassing(key)
	case v.deleted:
		w.Delete(key)
	case passing(key):
		w.PutPassing(key, []byte(v.value))
	default:
		w.Put(key, []byte(v.value))
	}
}

func (m model) clone() model {
	c := make(model)
	for sub, keys := range m {
		c[sub] = maps.Clone(keys)
		for k, all := range c[sub] {
			c[sub][k] = slices.Clone(all)
		}
	}
	return c
}

func (m model) get(sub ids.Subgroup, key string, at hlc.Timestamp) (string, bool) {
	found := version{deleted: true}
	for _, v := range m[sub][key] {
		if v.at <= at {
			found = v
		}
	}
	return found.value, !found.deleted
}

// list returns the records in [from, to) as "key=value" in order.
func (m model) list(sub ids.Subgroup, from, to []byte, at hlc.Timestamp) (all []string) {
	for _, key := range slices.Sorted(maps.Keys(m[sub])) {
		if key < string(from) || to != nil && key >= string(to) {
			continue
		}
		if value, ok := m.get(sub, key, at); ok {
			all = append(all, key+"="+value)
		}
	}
	return all
}

// check compares every way of reading.
func (m model) check(t *testing.T, r Reader, rng *rand.Rand, sub ids.Subgroup, at hlc.Timestamp) {
	t.Helper()
	for range 5 {
		key := randomKey(rng)
		want, wantOK := m.get(sub, string(key), at)
		if got, ok := r.Get(key); ok != wantOK || string(got) != want {
			t.Fatalf("X4: get %q of %d at %d: %q %v, want %q %v", key, sub, at, got, ok, want, wantOK)
		}
	}
	from, to := randomKey(rng), randomKey(rng)
	switch rng.IntN(4) {
	case 0:
		from, to = nil, nil
	case 1:
		to = nil
	}
	want := m.list(sub, from, to, at)
	var got []string
	limit := rng.IntN(2 * (len(want) + 1))
	r.Scan(from, to, func(k, v []byte) bool {
		got = append(got, string(k)+"="+string(v))
		return len(got) < limit
	})
	if limit = max(limit, 1); len(want) > limit {
		want = want[:limit]
	}
	if !slices.Equal(got, want) {
		t.Fatalf("X4: scan %q to %q of %d at %d:\n got %q\nwant %q", from, to, sub, at, got, want)
	}
	want = m.list(sub, from, to, at)
	k, v, ok := r.Last(from, to)
	if ok != (len(want) > 0) || ok && string(k)+"="+string(v) != want[len(want)-1] {
		t.Fatalf("X4: last of %q to %q of %d at %d: %q=%q %v, want the end of %q", from, to, sub, at, k, v, ok, want)
	}
}

func (m model) checkHistory(t *testing.T, x *Index, sub ids.Subgroup, key []byte) {
	t.Helper()
	var got, want []version
	x.History(sub, key, func(since hlc.Timestamp, value []byte, deleted bool) bool {
		got = append(got, version{since, string(value), deleted})
		return true
	})
	// A tombstone over nothing is left where a key came and went at one moment; it changes no answer.
	want = slices.Clone(m[sub][string(key)])
	if passing(key) && len(want) > 0 && want[0].deleted {
		want = nil
	}
	slices.Reverse(want)
	drop := func(all []version) (kept []version) {
		for i, v := range all {
			if !v.deleted || i+1 < len(all) && !all[i+1].deleted {
				kept = append(kept, v)
			}
		}
		return kept
	}
	if !slices.Equal(drop(got), drop(want)) {
		t.Fatalf("history of %q of %d: %v, want %v", key, sub, got, want)
	}
}

// randomKey draws from few keys, with the bytes that matter to the encoding.
func randomKey(rng *rand.Rand) []byte {
	k := make([]byte, rng.IntN(4))
	for i := range k {
		k[i] = []byte{0, 1, 2, 'a', 0xfe, 0xff}[rng.IntN(6)]
	}
	return k
}

func randomSub(rng *rand.Rand) ids.Subgroup {
	return []ids.Subgroup{0, 1, 255, 256, 65535}[rng.IntN(5)]
}

// stores runs a test on each kind of store.
func stores(t *testing.T, test func(t *testing.T, kv KV)) {
	t.Run("mem", func(t *testing.T) { test(t, NewMem()) })
	t.Run("pebble", func(t *testing.T) {
		kv, err := OpenPebble("index", PebbleConfig{FS: vfs.NewMem(), MemtableBytes: 64 << 10, BufferBytes: 8 << 10, BlockCacheBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		test(t, kv)
	})
}

// randomWrites changes x and m alike, in one Tx, at timestamps after now, and returns the last of them.
func randomWrites(t *testing.T, x *Index, m model, rng *rand.Rand, now hlc.Timestamp) hlc.Timestamp {
	t.Helper()
	tx := x.Begin()
	now = randomTx(t, tx, m, rng, now)
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	return now
}

// randomTx is randomWrites in a Tx of the caller, at timestamps of now to now+8.
func randomTx(t *testing.T, tx *Tx, m model, rng *rand.Rand, now hlc.Timestamp) hlc.Timestamp {
	t.Helper()
	for range 1 + rng.IntN(4) {
		now += hlc.Timestamp(rng.IntN(3)) // writers of other subgroups may share a timestamp
		sub := randomSub(rng)
		w := tx.Writer(sub, now)
		for range rng.IntN(6) {
			key, value := randomKey(rng), fmt.Sprintf("%d-%d", now, rng.IntN(1000))
			if rng.IntN(3) == 0 {
				m.write(w, sub, key, version{at: now, deleted: true})
			} else {
				m.write(w, sub, key, version{at: now, value: value})
			}
			if rng.IntN(4) == 0 {
				m.check(t, w, rng, sub, hlc.Latest)
			}
		}
		if rng.IntN(8) == 0 {
			deleteInScan(t, w, m, sub, now)
		}
	}
	return now
}

// deleteInScan changes keys before, at and behind the present one from within a Scan.
func deleteInScan(t *testing.T, w Writer, m model, sub ids.Subgroup, now hlc.Timestamp) {
	t.Helper()
	last := ""
	n := 0
	w.Scan(nil, nil, func(k, v []byte) bool {
		key := string(k)
		if want, ok := m.get(sub, key, hlc.Latest); !ok || want != string(v) || n > 0 && key <= last {
			t.Fatalf("scan that writes shows %q=%q after %q, want %q %v", k, v, last, want, ok)
		}
		last = key
		switch n++; n % 3 {
		case 0:
			m.write(w, sub, k, version{at: now, deleted: true})
		case 1:
			behind := key + "\x00"
			m.write(w, sub, []byte(behind), version{at: now, deleted: true})
		case 2:
			behind := key + "!"
			if len(behind) < 6 {
				m.write(w, sub, []byte(behind), version{at: now, value: "new"})
			}
		}
		return true
	})
}

// X4, X5: every way of reading agrees with the model, now and at any moment before, for both stores, with
// a cache that holds nothing, little, or all.
func TestModel(t *testing.T) {
	for _, cacheBytes := range []int{-1, 20_000, 0} {
		t.Run(fmt.Sprintf("cache=%d", cacheBytes), func(t *testing.T) {
			stores(t, func(t *testing.T, kv KV) {
				x := New(kv, Config{CacheBytes: cacheBytes})
				rng := rand.New(rand.NewPCG(1, uint64(cacheBytes)))
				m, now := make(model), hlc.Timestamp(100)
				for range 120 {
					now = randomWrites(t, x, m, rng, now)
					for range 3 {
						sub, at := randomSub(rng), now
						if rng.IntN(2) == 0 {
							at = hlc.Timestamp(rng.Int64N(int64(now) + 10))
						}
						m.check(t, x.At(sub, at), rng, sub, at)
					}
					m.checkHistory(t, x, randomSub(rng), randomKey(rng))
					if rng.IntN(50) == 0 {
						if err := x.Flush(); err != nil {
							t.Fatal(err)
						}
					}
				}
				if err := x.Close(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// A Tx that is discarded leaves nothing, and the next one starts afresh.
func TestDiscard(t *testing.T) {
	kv := NewMem()
	x := New(kv, Config{})
	tx := x.Begin()
	tx.Writer(1, 50).Put([]byte("k"), []byte("v"))
	tx.SetMeta("m", []byte("v"))
	if tx.Len() != 1 {
		t.Fatalf("Len %d", tx.Len())
	}
	tx.Discard()
	tx = x.Begin()
	w := tx.Writer(1, 10)
	if _, ok := w.Get([]byte("k")); ok || tx.Len() != 0 {
		t.Fatal("a discarded write is seen")
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, ok := x.Meta("m"); ok || x.Newest(1) != 10 || kv.Len() != 1 {
		t.Fatalf("discarded meta is there, or newest is %d, or the store has %d rows", x.Newest(1), kv.Len())
	}
}

// X5: what nobody can see leaves no rows: values of one moment replaced at that moment, and keys that come
// and go in one Tx, but for a tombstone.
func TestSameMoment(t *testing.T) {
	kv := &watchedKV{KV: NewMem()}
	x := New(kv, Config{})
	counts := make(map[byte]int)
	kv.beforeApply = func(changes []Change) {
		clear(counts)
		for _, c := range changes {
			counts[c.Key[0]]++
		}
	}
	commit := func(at hlc.Timestamp, keys string, value string) {
		tx := x.Begin()
		w := tx.Writer(1, at)
		for i := range keys {
			if w.Put([]byte(keys[i:i+1]), []byte(value)); value == "" {
				w.Delete([]byte(keys[i : i+1]))
			}
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	commit(10, "aaaa", "v")
	if counts[tableLive] != 1 || counts[tableHistory] != 0 {
		t.Fatalf("one key put again and again: %v", counts)
	}
	commit(10, "aaaa", "w")
	if counts[tableLive] != 1 || counts[tableHistory] != 0 {
		t.Fatalf("the same in another Tx: %v", counts)
	}
	commit(11, "b", "")
	if counts[tableLive] != 0 || counts[tableHistory] != 1 {
		t.Fatalf("a key that came and went: %v", counts)
	}
	wantGet(t, x, 10, "a", "w")
	wantGet(t, x, 9, "a", "")
}

// A Tx that read from a store that failed must not be committed: what it wrote may be wrong.
func TestFailedReadFailsCommit(t *testing.T) {
	kv := &watchedKV{KV: NewMem()}
	x := New(kv, Config{})
	put(t, x, 10, "kk", "so that the store is asked for k")
	kv.getErr = errs.New(errs.Corrupt, "bad block")
	kv.beforeApply = func([]Change) { t.Fatal("committed") }
	tx := x.Begin()
	tx.Writer(1, 10).Put([]byte("k"), []byte("v"))
	if err := tx.Commit(); !errors.Is(err, errs.Corrupt) || !errors.Is(x.Err(), errs.Corrupt) {
		t.Fatalf("commit: %v, Err: %v", err, x.Err())
	}
}

// X3: going back in time is a mistake of the caller.
func TestTimeGoesForward(t *testing.T) {
	x := New(NewMem(), Config{})
	tx := x.Begin()
	tx.Writer(1, 10)
	tx.Writer(2, 5)
	tx.Writer(1, 10)
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if msg := fmt.Sprint(recover()); !strings.Contains(msg, "X3") {
			t.Fatalf("panic %q", msg)
		}
	}()
	x.Begin().Writer(1, 9)
	t.Fatal("X3: no panic")
}

// Live scans do not get slower by what was deleted or overwritten: history is not read at all.
func TestLiveScanReadsNoHistory(t *testing.T) {
	kv := &watchedKV{KV: NewMem()}
	x := New(kv, Config{})
	for i := range 100 {
		tx := x.Begin()
		w := tx.Writer(1, hlc.Timestamp(i+1))
		w.Put([]byte("same"), []byte("v"))
		w.Put(fmt.Appendf(nil, "k%d", i), []byte("v"))
		w.Delete(fmt.Appendf(nil, "k%d", i-1))
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	tables := make(map[byte]int)
	kv.onIter = func(from []byte) { tables[from[0]]++ }
	r := x.At(1, 100)
	r.Scan(nil, nil, func(_, _ []byte) bool { return true })
	r.Last(nil, nil)
	r.Get([]byte("k5"))
	r.Get([]byte("never"))
	if tables[tableHistory] != 0 || tables[tableLive] != 2 {
		t.Fatalf("iterators by table: %v", tables)
	}
	x.At(1, 99).Scan(nil, nil, func(_, _ []byte) bool { return true })
	if tables[tableHistory] != 1 {
		t.Fatalf("a past scan did not read history: %v", tables)
	}
}

// What Get returns may be kept, and what Put is given may be changed.
func TestValuesAreCopied(t *testing.T) {
	stores(t, func(t *testing.T, kv KV) {
		x := New(kv, Config{})
		key, value := []byte("key"), []byte("value")
		for i := range 3 {
			tx := x.Begin()
			w := tx.Writer(1, hlc.Timestamp(i+1))
			w.Put(key, value)
			clear(key)
			clear(value)
			if v, ok := w.Get([]byte("key")); !ok || string(v) != "value" {
				t.Fatalf("%q %v", v, ok)
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			copy(key, "key")
			copy(value, "value")
		}
		live, _ := x.At(1, 3).Get(key)
		past, _ := x.At(1, 1).Get(key)
		lastKey, last, _ := x.At(1, 1).Last(nil, nil)
		for i := range 200 {
			tx := x.Begin()
			tx.Writer(1, hlc.Timestamp(10+i)).Put(key, bytes.Repeat([]byte("x"), 1000))
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		for _, v := range [][]byte{live, past, last} {
			if string(v) != "value" {
				t.Fatalf("a value that was kept is %q now", v)
			}
		}
		if string(lastKey) != "key" {
			t.Fatalf("a key that was kept is %q now", lastKey)
		}
	})
}
