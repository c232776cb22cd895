package index

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"dfs/hlc"
)

func benchStores(b *testing.B, bench func(b *testing.B, kv KV)) {
	b.Run("mem", func(b *testing.B) { bench(b, NewMem()) })
	b.Run("pebble", func(b *testing.B) {
		kv, err := OpenPebble(b.TempDir(), PebbleConfig{})
		if err != nil {
			b.Fatal(err)
		}
		bench(b, kv)
	})
}

func benchKey(dst []byte, i int) []byte {
	return fmt.Appendf(dst[:0], "d%08d/name-of-file-%08d", i/100, i)
}

var benchValue = make([]byte, 100)

// BenchmarkTx commits four puts of 100 bytes, as a create does: two new keys, two that change.
func BenchmarkTx(b *testing.B) {
	benchStores(b, func(b *testing.B, kv KV) {
		x := New(kv, Config{})
		b.ReportAllocs()
		n, key := 0, make([]byte, 0, 64)
		for b.Loop() {
			n++
			tx := x.Begin()
			w := tx.Writer(1, hlc.Timestamp(n))
			for _, k := range []int{2 * n, 2*n + 1, n % 100, n % 101} {
				key = benchKey(key, k)
				w.Put(key, benchValue)
			}
			tx.SetMeta("applied", benchValue[:8])
			if err := tx.Commit(); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		if err := x.Close(); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkTxOf64 is the same for a batch of 64 operations in one Tx; the time is per operation.
func BenchmarkTxOf64(b *testing.B) {
	benchStores(b, func(b *testing.B, kv KV) {
		x := New(kv, Config{})
		b.ReportAllocs()
		n, key := 0, make([]byte, 0, 64)
		var tx *Tx
		for b.Loop() {
			if n%64 == 0 {
				tx = x.Begin()
			}
			n++
			w := tx.Writer(1, hlc.Timestamp(n))
			for _, k := range []int{2 * n, 2*n + 1, n % 100, n % 101} {
				key = benchKey(key, k)
				w.Put(key, benchValue)
			}
			if n%64 == 0 {
				if err := tx.Commit(); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// fill puts n keys, each of them twice, in random order.
func fill(b *testing.B, x *Index, n int) {
	rng := rand.New(rand.NewPCG(1, 1))
	key := make([]byte, 0, 64)
	for round := range 2 {
		order := rng.Perm(n)
		for len(order) > 0 {
			tx := x.Begin()
			w := tx.Writer(1, hlc.Timestamp(10*round+10))
			for _, i := range order[:min(1000, len(order))] {
				key = benchKey(key, i)
				w.Put(key, benchValue)
			}
			order = order[min(1000, len(order)):]
			if err := tx.Commit(); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := x.Flush(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkGet reads what is in the cache, what is not, and the past.
func BenchmarkGet(b *testing.B) {
	const n = 500_000
	benchStores(b, func(b *testing.B, kv KV) {
		fill(b, New(kv, Config{}), n)
		for _, c := range []struct {
			name  string
			cache int
			keys  int
			at    hlc.Timestamp
		}{
			{"cached", 0, 10_000, 20}, {"cold", -1, n, 20}, {"absent", -1, n, 20}, {"past", 0, n, 15},
		} {
			b.Run(c.name, func(b *testing.B) {
				r := New(kv, Config{CacheBytes: c.cache}).At(1, c.at)
				rng := rand.New(rand.NewPCG(2, 2))
				keys := make([][]byte, 10_000)
				for i := range keys {
					keys[i] = benchKey(nil, rng.IntN(c.keys))
					if c.name == "cached" {
						r.Get(keys[i])
					}
					if c.name == "absent" {
						keys[i] = append(keys[i], 'x')
					}
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					key := keys[i%len(keys)]
					if _, ok := r.Get(key); ok != (c.name != "absent") {
						b.Fatalf("%s: %v", key, ok)
					}
				}
			})
		}
	})
}

// BenchmarkScan lists a directory of 100 entries, now and in the past, and finds its last entry.
func BenchmarkScan(b *testing.B) {
	const n = 500_000
	benchStores(b, func(b *testing.B, kv KV) {
		x := New(kv, Config{})
		fill(b, x, n)
		for name, at := range map[string]hlc.Timestamp{"now": 20, "past": 15} {
			r := x.At(1, at)
			rng := rand.New(rand.NewPCG(3, 3))
			bounds := func() (from, to []byte) {
				d := rng.IntN(n / 100)
				return fmt.Appendf(nil, "d%08d/", d), fmt.Appendf(nil, "d%08d0", d)
			}
			b.Run(name+"/100", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					count := 0
					from, to := bounds()
					if r.Scan(from, to, func(_, _ []byte) bool { count++; return true }); count != 100 {
						b.Fatalf("%d entries", count)
					}
				}
			})
			b.Run(name+"/last", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					from, to := bounds()
					if _, _, ok := r.Last(from, to); !ok {
						b.Fatal("no entry")
					}
				}
			})
		}
	})
}

// BenchmarkScanAfterChurn lists a directory of 10 entries in which 100,000 were made and deleted.
func BenchmarkScanAfterChurn(b *testing.B) {
	benchStores(b, func(b *testing.B, kv KV) {
		x := New(kv, Config{})
		for i := range 100_000 {
			tx := x.Begin()
			w := tx.Writer(1, hlc.Timestamp(i+1))
			w.Put(fmt.Appendf(nil, "d/%d", i), benchValue)
			w.Delete(fmt.Appendf(nil, "d/%d", i-10))
			if err := tx.Commit(); err != nil {
				b.Fatal(err)
			}
		}
		r := x.At(1, 100_000)
		for b.Loop() {
			count := 0
			if r.Scan([]byte("d/"), []byte("d0"), func(_, _ []byte) bool { count++; return true }); count != 10 {
				b.Fatalf("%d entries", count)
			}
		}
	})
}
