package tcp

import (
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"dfs/fabric"
	"dfs/ids"
)

// pair starts two connected fabrics; wakes of node id go to wake[id].
func pair(b testing.TB, edit func(cfg *Config)) (one, two *Fabric, wake map[ids.NodeID]chan struct{}) {
	up := make(chan struct{}, 2)
	wake = map[ids.NodeID]chan struct{}{1: make(chan struct{}, 1), 2: make(chan struct{}, 1)}
	all := cluster(b, 2, func(cfg *Config) {
		w := wake[cfg.Self]
		cfg.Events.Up = func(ids.NodeID) { up <- struct{}{} }
		cfg.Events.Wake = func() {
			select {
			case w <- struct{}{}:
			default:
			}
		}
		edit(cfg)
	})
	<-up
	<-up
	return all[1], all[2], wake
}

func plain(*Config) {}

// BenchmarkRoundTrip sends a row of 64 bytes to and fro. A goroutine of each node waits for Wake, as
// the owner of a fabric does.
func BenchmarkRoundTrip(b *testing.B) {
	for _, c := range []struct {
		name string
		edit func(cfg *Config)
	}{{"socket", plain}, {"net.Conn", func(cfg *Config) { cfg.Secure = hide }}} {
		b.Run(c.name, func(b *testing.B) {
			one, two, wake := pair(b, c.edit)
			mem1, mem2 := fabric.Alloc(64), fabric.Alloc(64)
			one.Register(1, mem1)
			two.Register(1, mem2)
			go echo(two, mem2, wake[2], 1, uint64(b.N))
			row, word := make([]uint64, 8), &fabric.Words(mem1)[0]
			b.ReportAllocs()
			b.ResetTimer()
			for i := uint64(1); i <= uint64(b.N); i++ {
				row[0] = i
				one.WriteWords(2, 1, 0, row)
				one.Flush()
				for atomic.LoadUint64(word) < i {
					<-wake[1]
				}
			}
		})
	}
	b.Run("raw", func(b *testing.B) {
		x, y := sockets(b)
		go func() {
			var p [88]byte
			for range b.N {
				_, _ = io.ReadFull(y, p[:])
				_, _ = y.Write(p[:])
			}
		}()
		var p [88]byte
		b.ResetTimer()
		for range b.N {
			_, _ = x.Write(p[:])
			_, _ = io.ReadFull(x, p[:])
		}
	})
}

// echo sends the counter in mem back to node 1 when it has grown by step, and at last.
func echo(f *Fabric, mem []byte, wake chan struct{}, step int, last uint64) {
	row, word := make([]uint64, 8), &fabric.Words(mem)[0]
	for row[0] < last {
		<-wake
		if v := atomic.LoadUint64(word); v >= row[0]+uint64(step) || v == last {
			row[0] = v
			f.WriteWords(1, 1, 0, row)
			f.Flush()
		}
	}
}

// BenchmarkOneWay streams writes, with a counter before each Flush as a sender of a ring does, at most 16 MiB
// ahead of the receiver, which acknowledges each quarter of that.
func BenchmarkOneWay(b *testing.B) {
	for _, size := range []int{256, 4 << 10, 64 << 10, 1 << 20} {
		for _, batch := range []int{1, 16} {
			b.Run(fmt.Sprintf("%dB/flush%d", size, batch), func(b *testing.B) { benchOneWay(b, size, batch, plain) })
		}
		if size >= 64<<10 {
			b.Run(fmt.Sprintf("%dB/net.Conn", size), func(b *testing.B) {
				benchOneWay(b, size, 1, func(cfg *Config) { cfg.Secure = hide })
			})
		}
		b.Run(fmt.Sprintf("%dB/raw", size), func(b *testing.B) { benchRaw(b, size) })
	}
}

func benchOneWay(b *testing.B, size, batch int, edit func(cfg *Config)) {
	const window = 16 << 20
	one, two, wake := pair(b, edit)
	ring, back := fabric.Alloc(64+window), fabric.Alloc(64)
	one.Register(1, back)
	two.Register(1, ring)
	go echo(two, ring, wake[2], max(1, window/size/4), uint64(b.N))
	src, acked := fabric.Alloc(window), &fabric.Words(back)[0]
	counter := make([]uint64, 1)
	slots := uint64(window / size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	for i := uint64(0); i < uint64(b.N); i++ {
		for i-atomic.LoadUint64(acked) >= slots {
			one.Flush()
			<-wake[1]
		}
		at := int(i%slots) * size
		one.Write(2, 1, 64+at, src[at:at+size])
		if (i+1)%uint64(batch) == 0 || i+1 == uint64(b.N) {
			counter[0] = i + 1
			one.WriteWords(2, 1, 0, counter)
			one.Flush()
		}
	}
	for atomic.LoadUint64(acked) < uint64(b.N) {
		<-wake[1]
	}
}

// benchRaw is what bare TCP makes of the same: from one ring into another.
func benchRaw(b *testing.B, size int) {
	const window = 16 << 20
	x, y := sockets(b)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ring, at := fabric.Alloc(window), 0
		for left := b.N * size; left > 0; {
			n, err := y.Read(ring[at:min(at+max(size, 128<<10), window)])
			if err != nil {
				return
			}
			left -= n
			at = (at + n) % window
		}
	}()
	src := fabric.Alloc(window)
	b.SetBytes(int64(size))
	b.ResetTimer()
	for i := range b.N {
		at := i % (window / size) * size
		_, _ = x.Write(src[at : at+size])
	}
	<-done
}

func sockets(b *testing.B) (x, y net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if x, err = net.Dial("tcp", l.Addr().String()); err != nil {
		b.Fatal(err)
	}
	if y, err = l.Accept(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = x.Close(); _ = y.Close() })
	return x, y
}
