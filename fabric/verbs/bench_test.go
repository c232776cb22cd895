package verbs

import (
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"dfs/fabric"
	"dfs/ids"
)

// onDevice uses the adapter that DFS_VERBS names, or one in memory.
func onDevice() func(cfg *Config) {
	name := os.Getenv("DFS_VERBS")
	if name == "" {
		return inMemory()
	}
	return func(cfg *Config) { cfg.Mode, cfg.Device = Required, name }
}

// bench is two nodes, each with a region of n bytes. What they do when something was written there they do on
// the goroutine that saw it, as shards does.
type bench struct {
	all    map[ids.NodeID]*Fabric
	mems   map[ids.NodeID][]byte
	landed map[ids.NodeID]*atomic.Pointer[func()]
	broken chan error
}

// wait waits until over is closed. Over a link that breaks nothing more would come.
func (x *bench) wait(b *testing.B, over chan struct{}) {
	select {
	case <-over:
	case err := <-x.broken:
		b.Fatalf("the link broke: %v", err)
	}
}

func newBench(b *testing.B, n int) *bench {
	ready, up := make(chan struct{}, 4), make(chan struct{}, 4)
	device := onDevice()
	x := &bench{broken: make(chan error, 4), mems: map[ids.NodeID][]byte{}, landed: map[ids.NodeID]*atomic.Pointer[func()]{1: {}, 2: {}}}
	x.all = cluster(b, 2, func(cfg *Config) {
		device(cfg)
		mine := x.landed[cfg.TCP.Self]
		cfg.TCP.Events = fabric.Events{
			Up:      func(ids.NodeID) { up <- struct{}{} },
			Down:    func(_ ids.NodeID, err error) { x.broken <- err },
			Message: func(ids.NodeID, []byte) { ready <- struct{}{} },
			Wake: func() {
				if fn := mine.Load(); fn != nil {
					(*fn)()
				}
			},
		}
	})
	<-up
	<-up
	for id, other := range map[ids.NodeID]ids.NodeID{1: 2, 2: 1} {
		x.mems[id] = fabric.Alloc(n)
		x.all[id].Register(1, x.mems[id])
		x.all[id].Send(other, []byte("ready"))
		x.all[id].Flush()
	}
	<-ready
	<-ready
	return x
}

// last is the word that node id sees change last, at the end of n bytes.
func (x *bench) last(id ids.NodeID, n int) *uint64 { return &fabric.Words(x.mems[id])[n/8-1] }

// pingPong lets 64 bytes go there and back, b.N times. It tells the median of half of that time, as ib_write_lat does.
func pingPong(b *testing.B, write func(f *Fabric, to ids.NodeID, count uint64)) {
	x := newBench(b, 4096)
	over := make(chan struct{})
	var there uint64 // of node 2
	times := make([]time.Duration, 0, b.N)
	var began time.Time
	pong := func() {
		if n := atomic.LoadUint64(x.last(2, 64)); n > there {
			there = n
			write(x.all[2], 1, n)
		}
	}
	ping := func() {
		if n := atomic.LoadUint64(x.last(1, 64)); n <= uint64(len(times)) {
			return
		}
		now := time.Now()
		if times = append(times, now.Sub(began)); len(times) == b.N {
			close(over)
			return
		}
		began = now
		write(x.all[1], 2, uint64(len(times))+1)
	}
	x.landed[1].Store(&ping)
	x.landed[2].Store(&pong)
	b.ResetTimer()
	began = time.Now()
	write(x.all[1], 2, 1)
	x.wait(b, over)
	b.StopTimer()
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Nanoseconds())/2000, "p50-us")
}

// Bytes there and bytes back, as ib_write_lat has it.
func BenchmarkLatency64(b *testing.B) {
	bufs := map[ids.NodeID][]byte{1: fabric.Alloc(64), 2: fabric.Alloc(64)}
	pingPong(b, func(f *Fabric, to ids.NodeID, count uint64) {
		fabric.Words(bufs[to])[7] = count
		f.Write(to, 1, 0, bufs[to])
		f.Flush()
	})
}

// A row of eight words there and one back: whole words, in order.
func BenchmarkLatencyRow(b *testing.B) {
	pingPong(b, func(f *Fabric, to ids.NodeID, count uint64) {
		f.WriteWords(to, 1, 0, []uint64{count, 0, 0, 0, 0, 0, 0, count})
		f.Flush()
	})
}

// Pieces, as many under way as there is room for, from memory that the adapter reads itself. A counter goes behind each MiB.
func BenchmarkBandwidth64K(b *testing.B) { bandwidth(b, 64<<10, 16, true) }
func BenchmarkBandwidth1M(b *testing.B)  { bandwidth(b, 1<<20, 1, true) }

// A counter behind each piece, and all that follows from it.
func BenchmarkCounted64K(b *testing.B) { bandwidth(b, 64<<10, 1, true) }

// From memory that must be copied.
func BenchmarkCopied64K(b *testing.B) { bandwidth(b, 64<<10, 16, false) }

func bandwidth(b *testing.B, size, batch int, source bool) {
	const bytes = 8 << 20 // under way, as ib_write_bw has at 64 KiB
	ahead := bytes / size
	x := newBench(b, 64+bytes)
	src := fabric.Alloc(bytes)
	if source {
		defer x.all[1].Source(src)()
	}
	over := make(chan struct{})
	var sent int
	var seen uint64
	receive := func() {
		if n := atomic.LoadUint64(x.last(2, 8)); n > seen {
			seen = n
			x.all[2].WriteWords(1, 1, 0, []uint64{n})
			x.all[2].Flush()
		}
	}
	send := func() {
		got := int(atomic.LoadUint64(x.last(1, 8)))
		if got == b.N && sent == got {
			sent++
			close(over)
		}
		for sent < b.N && sent+min(batch, b.N-sent) <= got+ahead {
			for range min(batch, b.N-sent) {
				slot := sent % ahead * size
				x.all[1].Write(2, 1, 64+slot, src[slot:slot+size])
				sent++
			}
			x.all[1].WriteWords(2, 1, 0, []uint64{uint64(sent)})
			x.all[1].Flush()
		}
	}
	b.SetBytes(int64(size))
	x.landed[1].Store(&send)
	x.landed[2].Store(&receive)
	b.ResetTimer()
	x.all[2].WriteWords(1, 1, 8, []uint64{1}) // wakes node 1
	x.all[2].Flush()
	x.wait(b, over)
	b.StopTimer()
}
