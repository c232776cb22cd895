package index

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"dfs/errs"
)

// changesAt returns random changes, of which those marked New are of keys that m does not have.
func changesAt(rng *rand.Rand, m *Mem, n int) []Change {
	var all []Change
	for k := range 1 + rng.IntN(6) {
		key := fmt.Appendf(nil, "key %d", rng.IntN(60))
		_, had, _ := m.Get(key)
		c := Change{Key: key, Delete: had && rng.IntN(2) == 0}
		if !c.Delete {
			c.Value, c.New = fmt.Appendf(nil, "%d.%d", n, k), !had
		}
		all = append(all, c)
		if err := m.Apply(all[len(all)-1:]); err != nil {
			panic(err)
		}
	}
	return all
}

// walk moves two iterators in the same way and compares what they show.
func walk(t *testing.T, rng *rand.Rand, got, want Iter) {
	t.Helper()
	for step := range 40 {
		key := fmt.Appendf(nil, "key %d", rng.IntN(70))
		var a, b bool
		switch move := rng.IntN(8); {
		case move == 0:
			a, b = got.SeekGE(key), want.SeekGE(key)
		case move == 1 || step == 0:
			a, b = got.SeekLT(key), want.SeekLT(key)
		case !want.Valid():
			continue
		case move < 5:
			a, b = got.Next(), want.Next()
		default:
			a, b = got.Prev(), want.Prev()
		}
		if a != b || got.Valid() != want.Valid() {
			t.Fatalf("X4: a move found a row: %v, want %v", a, b)
		}
		if a && (!bytes.Equal(got.Key(), want.Key()) || !bytes.Equal(got.Value(), want.Value())) {
			t.Fatalf("X4: at %q=%q, want %q=%q", got.Key(), got.Value(), want.Key(), want.Value())
		}
	}
}

// X1, X4: a buffer shows what a store without one shows, while it is drained, to iterators taken at any time.
func TestBufferHidesNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	want, b := NewMem(), newBuffer(NewMem(), 1<<10)
	type pair struct{ got, want Iter }
	var kept []pair
	for n := range 3000 {
		if err := b.Apply(changesAt(rng, want, n)); err != nil {
			t.Fatal(err)
		}
		key := fmt.Appendf(nil, "key %d", rng.IntN(60))
		v, ok, err := b.Get(key)
		if w, has, _ := want.Get(key); err != nil || ok != has || ok && !bytes.Equal(v, w) {
			t.Fatalf("%s is %q %v %v, want %q %v", key, v, ok, err, w, has)
		}
		if n%5 == 0 {
			from, to := []byte("key 1"), []byte("key 5")
			got, err := b.Iter(from, to)
			if err != nil {
				t.Fatal(err)
			}
			wanted, _ := want.Iter(from, to)
			kept = append(kept, pair{got, wanted})
		}
		if i := rng.IntN(10); i < len(kept) {
			walk(t, rng, kept[i].got, kept[i].want)
			if err := kept[i].got.Close(); err != nil {
				t.Fatal(err)
			}
			kept = append(kept[:i], kept[i+1:]...)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// gate is a store that applies when it is let, or fails.
type gate struct {
	*Mem
	open    chan error
	mu      sync.Mutex
	batches [][]Change
}

func (g *gate) Apply(changes []Change) error {
	if err := <-g.open; err != nil {
		return err
	}
	g.mu.Lock()
	g.batches = append(g.batches, changes)
	g.mu.Unlock()
	return g.Mem.Apply(changes)
}

// X2: what came and went between two drains never reaches the store, what changed often reaches it once, and
// batches are in order. A store that fails is reported, and what it did not take stays readable.
func TestBufferDrains(t *testing.T) {
	g := &gate{Mem: NewMem(), open: make(chan error, 1)}
	b := newBuffer(g, 1<<20)
	apply := func(changes ...Change) {
		t.Helper()
		if err := b.Apply(changes); err != nil {
			t.Fatal(err)
		}
	}
	apply(Change{Key: []byte("stays"), Value: []byte("1"), New: true})
	g.open <- nil
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	apply(Change{Key: []byte("goes"), Value: []byte("1"), New: true}, Change{Key: []byte("stays"), Value: []byte("2")})
	apply(Change{Key: []byte("goes"), Delete: true}, Change{Key: []byte("stays"), Delete: true})
	apply(Change{Key: []byte("stays"), Value: []byte("3"), New: true})
	apply(Change{Key: []byte("stays"), Delete: true})
	if b.top.count != 1 {
		t.Fatalf("%d rows are held, want the deletion of the key that the store has", b.top.count)
	}
	if _, ok, err := b.Get([]byte("stays")); ok || err != nil {
		t.Fatalf("a deleted key is there: %v", err)
	}
	g.open <- nil
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	if len(g.batches) != 2 || len(g.batches[1]) != 1 || !g.batches[1][0].Delete || g.Len() != 0 {
		t.Fatalf("the store got %v", g.batches)
	}
	apply(Change{Key: []byte("lost"), Value: []byte("1")})
	g.open <- errs.New(errs.NoSpace, "no room")
	if err := b.Flush(); errs.KindOf(err) != errs.NoSpace {
		t.Fatalf("Flush returned %v", err)
	}
	if err := b.Apply([]Change{{Key: []byte("k")}}); errs.KindOf(err) != errs.NoSpace {
		t.Fatalf("Apply returned %v after a drain failed", err)
	}
	if v, ok, err := b.Get([]byte("lost")); string(v) != "1" || !ok || err != nil {
		t.Fatalf("what a failed drain held is %q %v %v", v, ok, err)
	}
	if err := b.Close(); errs.KindOf(err) != errs.NoSpace {
		t.Fatalf("Close returned %v", err)
	}
}

// X4: a key beyond the greatest live one is absent without a look at the store, but not in the past, nor when it
// comes back, whether the index was opened before or after its deletion.
func TestBeyondTheGreatestKey(t *testing.T) {
	kv := &watchedKV{KV: NewMem()}
	x := New(kv, Config{CacheBytes: -1})
	put(t, x, 10, "a1", "low")
	put(t, x, 20, "a5", "high")
	put(t, x, 30, "a5", "")
	gets := 0
	kv.afterGet = func() { gets++ }
	for range 2 {
		wantGet(t, x, 30, "a7", "")
		wantGet(t, x, 30, "b", "")
		if gets > 0 {
			t.Fatal("the store was asked for keys beyond all that were ever live")
		}
		wantGet(t, x, 20, "a5", "high")
		wantGet(t, x, 30, "a5", "")
		wantGet(t, x, 10, "a5", "")
		wantGet(t, x, 30, "a1", "low")
		x, gets = New(kv, Config{CacheBytes: -1}), 0
	}
	put(t, x, 40, "a5", "again")
	wantGet(t, x, 40, "a5", "again")
	wantGet(t, x, 30, "a5", "")
	wantGet(t, x, 20, "a5", "high")
}
