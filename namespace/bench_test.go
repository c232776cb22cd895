package namespace

import (
	"fmt"
	"testing"

	"dfs/errs"
	"dfs/ids"
	"dfs/index"
)

// batch is how many operations the benchmarks commit at once, as an engine under load does.
const batch = 64

// run applies op(i) for i up to n, in transactions of batch operations.
func (h *harness) run(b *testing.B, n int, op func(i int) Op) {
	var tx *index.Tx
	for i := range n {
		if tx == nil {
			tx = h.x.Begin()
		}
		h.now++
		if kind, _ := Apply(tx.Writer(ids.Namespace, h.now), h.now, op(i).Encode()); kind != errs.OK {
			b.Fatal(kind)
		}
		if i%batch == batch-1 || i == n-1 {
			if err := tx.Commit(); err != nil {
				b.Fatal(err)
			}
			tx = nil
		}
	}
}

func create(i int) Op {
	return Create{Parent: 1, Name: fmt.Sprintf("file-%08d", i), Mode: 0o100644, UID: 1000, GID: 1000}
}

// stores are the places where the benchmarks keep the index.
func stores(b *testing.B, fn func(b *testing.B, h *harness)) {
	b.Run("mem", func(b *testing.B) { fn(b, start(b)) })
	b.Run("pebble", func(b *testing.B) {
		kv, err := index.OpenPebble(b.TempDir(), index.PebbleConfig{})
		if err != nil {
			b.Fatal(err)
		}
		h := &harness{t: b, x: index.New(kv, index.Config{})}
		b.Cleanup(func() { h.x.Close() })
		h.must(Init{})
		fn(b, h)
	})
}

func BenchmarkCreate(b *testing.B) {
	stores(b, func(b *testing.B, h *harness) {
		b.ReportAllocs()
		h.run(b, b.N, create)
	})
}

func BenchmarkCreateUnlink(b *testing.B) {
	stores(b, func(b *testing.B, h *harness) {
		b.ReportAllocs()
		h.run(b, b.N, func(i int) Op {
			switch i % 3 {
			case 0:
				return create(i)
			case 1:
				return Unlink{Parent: 1, Name: fmt.Sprintf("file-%08d", i-1)}
			default:
				return Release{Node: 1, Members: []ids.NodeID{1}, Inos: []ids.Ino{ids.Ino(2 + i/3)}}
			}
		})
	})
}

func BenchmarkLookupStat(b *testing.B) {
	stores(b, func(b *testing.B, h *harness) {
		const files = 10000
		h.run(b, files, create)
		names := make([]string, files)
		for i := range names {
			names[i] = fmt.Sprintf("file-%08d", i)
		}
		b.ReportAllocs()
		r := h.r()
		for i := 0; b.Loop(); i++ {
			ino, _, err := Lookup(r, 1, names[i*7919%files])
			if err != nil {
				b.Fatal(err)
			}
			if _, err := Stat(r, ino); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkList(b *testing.B) {
	stores(b, func(b *testing.B, h *harness) {
		const files = 1000
		h.run(b, files, create)
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			List(h.r(), 1, "", func(string, ids.Ino, Type) bool { n++; return true })
			if n != files {
				b.Fatal(n)
			}
		}
	})
}
