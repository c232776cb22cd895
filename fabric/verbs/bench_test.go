package verbs

import (
	"os"
	"sync/atomic"
	"testing"

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

// benchPair starts two nodes, each with a region of n bytes, and waits until they may write. woken is told of each
// node's wakes.
func benchPair(b *testing.B, n int) (all map[ids.NodeID]*Fabric, mems map[ids.NodeID][]byte, woken map[ids.NodeID]chan struct{}) {
	ready := make(chan struct{}, 4)
	woken = map[ids.NodeID]chan struct{}{1: make(chan struct{}, 1), 2: make(chan struct{}, 1)}
	up := make(chan struct{}, 4)
	device := onDevice()
	all = cluster(b, 2, func(cfg *Config) {
		device(cfg)
		mine := woken[cfg.TCP.Self]
		cfg.TCP.Events = fabric.Events{
			Up:      func(ids.NodeID) { up <- struct{}{} },
			Message: func(ids.NodeID, []byte) { ready <- struct{}{} },
			Wake: func() {
				select {
				case mine <- struct{}{}:
				default:
				}
			},
		}
	})
	<-up
	<-up
	mems = map[ids.NodeID][]byte{}
	for id, other := range map[ids.NodeID]ids.NodeID{1: 2, 2: 1} {
		mems[id] = fabric.Alloc(n)
		all[id].Register(1, mems[id])
		all[id].Send(other, []byte("ready"))
		all[id].Flush()
	}
	<-ready
	<-ready
	return all, mems, woken
}

// A word there and a word back, as a row of counters goes.
func BenchmarkRoundTrip64(b *testing.B) {
	all, mems, woken := benchPair(b, 4096)
	stop := make(chan struct{})
	go func() {
		for i := uint64(0); ; {
			select {
			case <-woken[2]:
			case <-stop:
				return
			}
			if n := atomic.LoadUint64(&fabric.Words(mems[2])[0]); n > i {
				i = n
				all[2].WriteWords(1, 1, 0, []uint64{i, 0, 0, 0, 0, 0, 0, 0})
				all[2].Flush()
			}
		}
	}()
	for i := uint64(1); b.Loop(); i++ {
		all[1].WriteWords(2, 1, 0, []uint64{i, 0, 0, 0, 0, 0, 0, 0})
		all[1].Flush()
		for atomic.LoadUint64(&fabric.Words(mems[1])[0]) < i {
			<-woken[1]
		}
	}
	close(stop)
}

// Pieces of 64 KiB, each with a counter behind it, as many under way as there is room for.
func BenchmarkWrite64K(b *testing.B) { benchWrite(b, 64<<10, false) }

// The same from memory that the adapter reads itself.
func BenchmarkSource64K(b *testing.B) { benchWrite(b, 64<<10, true) }

func benchWrite(b *testing.B, size int, source bool) {
	const ahead = 16
	all, mems, woken := benchPair(b, 64+ahead*size)
	src := fabric.Alloc(size * ahead)
	if source {
		defer all[1].Source(src)()
	}
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-woken[2]:
			case <-stop:
				return
			}
			all[2].WriteWords(1, 1, 0, []uint64{atomic.LoadUint64(&fabric.Words(mems[2])[0])})
			all[2].Flush()
		}
	}()
	got := &fabric.Words(mems[1])[0]
	b.SetBytes(int64(size))
	n := uint64(0)
	for b.Loop() {
		slot := int(n%ahead) * size
		all[1].Write(2, 1, 64+slot, src[slot:slot+size])
		n++
		all[1].WriteWords(2, 1, 0, []uint64{n})
		all[1].Flush()
		for atomic.LoadUint64(got)+ahead <= n {
			<-woken[1]
		}
	}
	for atomic.LoadUint64(got) < n {
		<-woken[1]
	}
	close(stop)
}
