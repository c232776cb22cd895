package versionlog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"dfs/hlc"
	"dfs/nvm"
	"dfs/record"
)

// One goroutine appends while others sync, read, scan and search.
func TestConcurrent(t *testing.T) {
	d, err := nvm.OpenOS(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := Open(Config{Dir: d, SegmentSize: testSize, MaxOpenFiles: 2, HeadCacheBytes: 2000})
	if err != nil {
		t.Fatal(err)
	}
	const records = 400
	sizes := sizesFor(rand.New(rand.NewPCG(5, 5)), records)
	at := make([]LSN, records+1)
	var done atomic.Int64 // records appended
	var wg sync.WaitGroup
	spawn := func(fn func(rng *rand.Rand, n int) error) {
		rng := rand.New(rand.NewPCG(uint64(runtime.NumGoroutine()), 1))
		wg.Go(func() {
			for n := 0; n < records; {
				if n = int(done.Load()); n == 0 {
					runtime.Gosched()
				} else if err := fn(rng, n); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 2 {
		spawn(func(rng *rand.Rand, n int) error {
			i := 1 + rng.IntN(n)
			p := make([]byte, sizes[i])
			if err := l.ReadData(at[i], 0, p); err != nil || !bytes.Equal(p, pattern(i, sizes[i])) {
				return fmt.Errorf("L2: record %d: %w", i, err)
			}
			return nil
		})
	}
	spawn(func(*rand.Rand, int) error {
		end := l.End()
		if d, err := l.Sync(); err != nil || d < end || l.Durable() < d {
			return fmt.Errorf("L4: synced to %d, end was %d: %w", d, end, err)
		}
		return nil
	})
	spawn(func(rng *rand.Rand, n int) error {
		i := 1 + rng.IntN(n)
		if ts, ok, err := l.FindVersion(version(i), nil); err != nil || !ok || ts != stamp(i) {
			return fmt.Errorf("version of record %d: %d, %v, %w", i, ts, ok, err)
		}
		k := i - 1
		return l.Scan(at[i], func(LSN, record.Record) error { k++; return nil })
	})
	for i := 1; i <= records; i++ {
		lsns, err := l.Append([]record.Record{rec(i, sizes[i])})
		if err != nil {
			t.Fatal(err)
		}
		at[i] = lsns[0]
		done.Store(int64(i))
		if i%20 == 0 {
			runtime.Gosched()
		}
	}
	wg.Wait()
	if n := len(l.reads.files); n > 2 {
		t.Fatalf("%d files are open for reading, 2 are allowed", n)
	}
	if l.reads.bytes > 2000 {
		t.Fatalf("%d bytes of heads are kept, 2000 are allowed", l.reads.bytes)
	}
	if n := checkPrefix(t, l, sizes); n != records {
		t.Fatalf("%d records", n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// A record that an Append tries again keeps its memory, its content and its place.
func TestAppendReusesMemory(t *testing.T) {
	l := open(t, nvm.NewStrict())
	r := rec(1, 5000)
	first := l.mustAppend(t, r)[0]
	r.Deliver(version(2), hlc.Timestamp(7))
	second := l.mustAppend(t, r)[0]
	for _, lsn := range []LSN{first, second} {
		p := make([]byte, 5000)
		if err := l.ReadData(lsn, 0, p); err != nil || !bytes.Equal(p, pattern(1, 5000)) {
			t.Fatal(err)
		}
	}
	if err := errors.Join(l.Close()); err != nil {
		t.Fatal(err)
	}
}

func benchLog(b *testing.B, cfg Config) *Log {
	d, err := nvm.OpenOS(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	cfg.Dir = d
	l, err := Open(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := l.Close(); err != nil {
			b.Error(err)
		}
	})
	return l
}

// BenchmarkAppend appends batches without syncing; each run is bounded so that it fits a small disk.
func BenchmarkAppend(b *testing.B) {
	for _, batch := range []int{1, 64} {
		for _, size := range []int{256, 128 << 10} {
			b.Run(fmt.Sprintf("batch=%d/size=%d", batch, size), func(b *testing.B) {
				recs := make([]record.Record, batch)
				for i := range recs {
					recs[i] = rec(i, size)
				}
				l := benchLog(b, Config{})
				bytes := int64(0)
				b.SetBytes(int64(batch * size))
				b.ReportAllocs()
				for b.Loop() {
					if bytes += int64(batch * size); bytes > 1<<30 {
						b.StopTimer()
						l = benchLog(b, Config{})
						bytes = 0
						b.StartTimer()
					}
					l.mustAppend(b, recs...)
				}
			})
		}
	}
}

func BenchmarkAppendSync(b *testing.B) {
	l, r := benchLog(b, Config{}), rec(1, 4096)
	for b.Loop() {
		l.mustAppend(b, r)
		l.mustSync(b)
	}
}

// BenchmarkReadData reads blocks at random from 256 MiB in the page cache.
func BenchmarkReadData(b *testing.B) {
	for name, heads := range map[string]int{"heads known": 64 << 20, "heads unknown": 1} {
		b.Run(name, func(b *testing.B) {
			l := benchLog(b, Config{HeadCacheBytes: heads})
			const size = 128 << 10
			var at []LSN
			for i := range 2048 {
				at = append(at, l.mustAppend(b, rec(i, size))...)
			}
			rng, p := rand.New(rand.NewPCG(1, 1)), make([]byte, 4096)
			b.SetBytes(4096)
			b.ReportAllocs()
			for b.Loop() {
				if err := l.ReadData(at[rng.IntN(len(at))], 4096*rng.IntN(size/4096), p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpen opens a log of 1 GiB that ended without closing, half a segment of it not synced.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "log")
	d, err := nvm.OpenOS(path)
	if err != nil {
		b.Fatal(err)
	}
	l, err := Open(Config{Dir: d})
	if err != nil {
		b.Fatal(err)
	}
	r := rec(1, 128<<10)
	for i := range 8192 {
		l.mustAppend(b, r)
		if i == 8192-256 {
			l.mustSync(b)
		}
	}
	for b.Loop() {
		l, err := Open(Config{Dir: d})
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
