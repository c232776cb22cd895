package shards

import (
	"context"
	"fmt"
	"syscall"
	"testing"

	"dfs/ids"
	"dfs/namespace"
)

// bySize runs a benchmark with clusters of several sizes, all in this process and linked over loopback, and reports
// beside the time how much processor time all members together spent for each operation.
func bySize(b *testing.B, op []byte, run func(b *testing.B, n *Node, op []byte)) {
	for _, size := range []int{3, 5, 8, 16} {
		b.Run(fmt.Sprintf("n=%d", size), func(b *testing.B) {
			c := newTestCluster(b, size)
			c.do(0, ids.Namespace, namespace.Init{}.Encode())
			b.ReportAllocs()
			b.ResetTimer()
			began := spent(b)
			run(b, c.members[0].node, op)
			b.ReportMetric((spent(b)-began)/float64(b.N), "cpu-us/op")
		})
	}
}

// spent returns the processor time of this process in microseconds.
func spent(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1000
}

// BenchmarkPipelined submits operations at one node as fast as there is room in its ring; the time is that until the
// last is applied there, for each.
func BenchmarkPipelined(b *testing.B) {
	op := namespace.Create{Parent: ids.RootIno, Name: "f", Mode: 0o100644}.Encode()
	bySize(b, op, func(b *testing.B, n *Node, op []byte) {
		var last *Call
		for range b.N {
			call, err := n.Submit(context.Background(), ids.Namespace, op)
			if err != nil {
				b.Fatal(err)
			}
			last = call
		}
		if _, err := last.Wait(context.Background()); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkClosedLoop waits for each operation before the next.
func BenchmarkClosedLoop(b *testing.B) {
	bySize(b, namespace.SetAttr{}.Encode(), func(b *testing.B, n *Node, op []byte) {
		for range b.N {
			call, err := n.Submit(context.Background(), ids.Namespace, op)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := call.Wait(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
