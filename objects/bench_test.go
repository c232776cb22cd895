package objects

import (
	"testing"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
)

// batch is how many operations the benchmarks commit at once, as an engine under load does.
const batch = 64

// bench is an index with operations applied to it in batches.
type bench struct {
	b   *testing.B
	x   *index.Index
	now hlc.Timestamp
}

// apply applies op(i) for i up to n, each with length bytes of data.
func (h *bench) apply(n, length int, op func(i int) Op) {
	var tx *index.Tx
	for i := range n {
		if tx == nil {
			tx = h.x.Begin()
		}
		h.now++
		data := DataRef{LSN: uint64(h.now) * 4096, Off: 0, Len: length}
		if kind, _ := Apply(tx.Writer(shard, h.now), h.now, op(i).Encode(), data); kind != errs.OK {
			h.b.Fatal(kind)
		}
		if i%batch == batch-1 || i == n-1 {
			if err := tx.Commit(); err != nil {
				h.b.Fatal(err)
			}
			tx = nil
		}
	}
}

// stores are the places where the benchmarks keep the index.
func stores(b *testing.B, fn func(b *testing.B, h *bench)) {
	b.Run("mem", func(b *testing.B) { fn(b, &bench{b: b, x: index.New(index.NewMem(), index.Config{})}) })
	b.Run("pebble", func(b *testing.B) {
		kv, err := index.OpenPebble(b.TempDir(), index.PebbleConfig{})
		if err != nil {
			b.Fatal(err)
		}
		h := &bench{b: b, x: index.New(kv, index.Config{})}
		b.Cleanup(func() { h.x.Close() })
		fn(b, h)
	})
}

const blocks = 1 << 14

// overwrite writes 4 KiB blocks in an order that is not sequential.
func overwrite(i int) Op { return Write{Ino: 5, Off: int64(i*7919%blocks) * 4096} }

func BenchmarkOverwrite4K(b *testing.B) {
	stores(b, func(b *testing.B, h *bench) {
		h.apply(blocks, 4096, overwrite)
		b.ResetTimer()
		b.ReportAllocs()
		h.apply(b.N, 4096, overwrite)
	})
}

func BenchmarkWriteSequential128K(b *testing.B) {
	stores(b, func(b *testing.B, h *bench) {
		b.ReportAllocs()
		h.apply(b.N, 128<<10, func(i int) Op { return Write{Ino: 5, Off: int64(i) * 128 << 10} })
	})
}

func BenchmarkAppend(b *testing.B) {
	stores(b, func(b *testing.B, h *bench) {
		b.ReportAllocs()
		h.apply(b.N, 100, func(int) Op { return Append{Ino: 5} })
	})
}

func BenchmarkNewFile(b *testing.B) {
	stores(b, func(b *testing.B, h *bench) {
		b.ReportAllocs()
		h.apply(b.N, 4096, func(i int) Op { return Write{Ino: ids.Ino(i + 2)} })
	})
}

func benchmarkMap(b *testing.B, length int64) {
	stores(b, func(b *testing.B, h *bench) {
		h.apply(blocks, 4096, overwrite)
		r := h.x.At(shard, h.now)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			off := int64(i*7919%blocks) * 4096 / length * length
			if n := Map(r, 5, off, length, func(Piece) bool { return true }); n != length {
				b.Fatal(n)
			}
		}
	})
}

func BenchmarkMapOneBlock(b *testing.B)      { benchmarkMap(b, 4096) }
func BenchmarkMapInsideOfBlock(b *testing.B) { benchmarkMap(b, 512) }
func BenchmarkMap32Blocks(b *testing.B)      { benchmarkMap(b, 128<<10) }
