package index

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"dfs/hlc"
)

// watchedKV calls back at the moments where a commit may come between the steps of a reader.
type watchedKV struct {
	KV
	afterGet    func()
	onIter      func(from []byte)
	beforeApply func(changes []Change)
	afterApply  func()
	getErr      error
}

func (kv *watchedKV) Get(key []byte) ([]byte, bool, error) {
	if kv.getErr != nil {
		return nil, false, kv.getErr
	}
	v, ok, err := kv.KV.Get(key)
	if kv.afterGet != nil {
		kv.afterGet()
	}
	return v, ok, err
}

func (kv *watchedKV) Iter(from, to []byte) (Iter, error) {
	it, err := kv.KV.Iter(from, to)
	if kv.onIter != nil {
		kv.onIter(from)
	}
	return it, err
}

func (kv *watchedKV) Apply(changes []Change) error {
	if kv.beforeApply != nil {
		kv.beforeApply(changes)
	}
	err := kv.KV.Apply(changes)
	if kv.afterApply != nil {
		kv.afterApply()
	}
	return err
}

func put(t *testing.T, x *Index, at hlc.Timestamp, key, value string) {
	t.Helper()
	tx := x.Begin()
	if w := tx.Writer(1, at); value == "" {
		w.Delete([]byte(key))
	} else {
		w.Put([]byte(key), []byte(value))
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

func wantGet(t *testing.T, x *Index, at hlc.Timestamp, key, want string) {
	t.Helper()
	if got, ok := x.At(1, at).Get([]byte(key)); string(got) != want || ok != (want != "") {
		t.Fatalf("get %q at %d: %q %v, want %q", key, at, got, ok, want)
	}
}

// X6: a reader that asked the store before a commit does not put what it found into the cache after it.
func TestNoStaleFill(t *testing.T) {
	for _, before := range []string{"", "old"} {
		for _, after := range []string{"", "new"} {
			kv := &watchedKV{KV: NewMem()}
			warm := New(kv, Config{})
			put(t, warm, 10, "k", "first")
			put(t, warm, 10, "kk", "so that the store is asked for k")
			put(t, warm, 20, "k", before)
			x := New(kv, Config{})
			kv.afterGet = func() {
				kv.afterGet = nil
				put(t, x, 30, "k", after)
			}
			wantGet(t, x, 20, "k", before)
			wantGet(t, x, 30, "k", after)
			wantGet(t, x, 20, "k", before)
			wantGet(t, x, 15, "k", "first")
			wantGet(t, x, 5, "k", "")
		}
	}
}

// X1, X4: scans are exact when a commit comes between taking the iterator and looking at the intent, when
// it comes while they run, and between the intent and the store.
func TestScanDuringCommit(t *testing.T) {
	list := func(r Reader) (s string) {
		r.Scan(nil, nil, func(k, v []byte) bool { s += fmt.Sprintf("%s=%s ", k, v); return true })
		k, v, _ := r.Last(nil, nil)
		return s + fmt.Sprintf("last %s=%s", k, v)
	}
	const want = "a=1 b=1 last b=1"
	for _, moment := range []byte{tableLive, tableHistory, 0} {
		kv := &watchedKV{KV: NewMem()}
		x := New(kv, Config{})
		tx := x.Begin()
		w := tx.Writer(1, 10)
		w.Put([]byte("a"), []byte("1"))
		w.Put([]byte("b"), []byte("1"))
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		next := hlc.Timestamp(20)
		change := func() {
			tx := x.Begin()
			w := tx.Writer(1, next)
			w.Delete([]byte("a"))
			w.Put([]byte("b"), []byte("2"))
			w.Put([]byte("c"), []byte("2"))
			next++
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		busy := false
		once := func() {
			if !busy {
				busy = true
				change()
				busy = false
			}
		}
		if moment == 0 {
			kv.beforeApply = func([]Change) {
				if got := list(x.At(1, 10)); got != want || x.Newest(1) != 10 {
					t.Fatalf("within a commit: %s at %d", got, x.Newest(1))
				}
			}
			kv.afterApply = func() { kv.beforeApply(nil) }
			change()
		} else {
			kv.onIter = func(from []byte) {
				if from[0] == moment {
					once()
				}
			}
		}
		for range 3 {
			if got := list(x.At(1, 10)); got != want {
				t.Fatalf("commit at an iterator of table %d: %s", moment, got)
			}
		}
	}
}

// The state that TestReadersDuringCommits builds: key k changes at each multiple of k+1, and is deleted
// at each third of these moments.
func valueAt(k int, at hlc.Timestamp) (string, bool) {
	n := int64(at) / int64(k+1)
	return fmt.Sprint(n * int64(k+1)), n > 0 && n%3 != 2
}

// X1, X4, X6: while one goroutine commits, readers at the newest moment and at all before see exactly the
// state of their moment.
func TestReadersDuringCommits(t *testing.T) {
	const keys, commits = 20, 200
	stores(t, func(t *testing.T, kv KV) {
		x := New(kv, Config{CacheBytes: 20_000})
		var newest atomic.Int64
		var wg sync.WaitGroup
		for g := range 3 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(g), 1))
				for newest.Load() < commits {
					at := newest.Load()
					if rng.IntN(2) == 0 {
						at = rng.Int64N(at + 1)
					}
					if err := checkMoment(x.At(1, hlc.Timestamp(at)), hlc.Timestamp(at), keys, rng); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for at := hlc.Timestamp(1); at <= commits; at++ {
			tx := x.Begin()
			w := tx.Writer(1, at)
			for k := range keys {
				if int(at)%(k+1) != 0 {
					continue
				}
				if v, ok := valueAt(k, at); ok {
					w.Put(fmt.Appendf(nil, "key%02d", k), []byte(v))
				} else {
					w.Delete(fmt.Appendf(nil, "key%02d", k))
				}
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			newest.Store(int64(at))
		}
		wg.Wait()
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func checkMoment(r Reader, at hlc.Timestamp, keys int, rng *rand.Rand) error {
	want, last := "", ""
	for k := range keys {
		if v, ok := valueAt(k, at); ok {
			last = fmt.Sprintf("key%02d=%s ", k, v)
			want += last
		}
	}
	got := ""
	r.Scan(nil, nil, func(k, v []byte) bool { got += string(k) + "=" + string(v) + " "; return true })
	if got != want {
		return fmt.Errorf("X4: scan at %d:\n got %s\nwant %s", at, got, want)
	}
	if k, v, ok := r.Last(nil, nil); ok != (last != "") || ok && string(k)+"="+string(v)+" " != last {
		return fmt.Errorf("X4: last at %d: %s=%s, want %s", at, k, v, last)
	}
	for range 10 {
		k := rng.IntN(keys)
		want, wantOK := valueAt(k, at)
		if v, ok := r.Get(fmt.Appendf(nil, "key%02d", k)); ok != wantOK || ok && string(v) != want {
			return fmt.Errorf("X4: get key%02d at %d: %s %v, want %s %v", k, at, v, ok, want, wantOK)
		}
	}
	return nil
}

// Neighbouring keys, such as the extents of one file, share the whole cache.
func TestCacheSpreadsNeighbours(t *testing.T) {
	c := newCache(1 << 20)
	var hits [cacheShards]int
	const keys = 64 * cacheShards
	for i := range uint64(keys) {
		live := binary.BigEndian.AppendUint64([]byte("\x03\x00\x01e12345678"), 4096*i)
		for s := range c.shards {
			if c.shard(live) == &c.shards[s] {
				hits[s]++
			}
		}
	}
	for s, n := range hits {
		if n < keys/cacheShards/4 || n > keys/cacheShards*4 {
			t.Errorf("%d of %d keys are in part %d of %d", n, keys, s, cacheShards)
		}
	}
}
