package shards

import (
	"context"
	"testing"

	"dfs/ids"
	"dfs/namespace"
)

// BenchmarkPipelined submits operations at one of three nodes as fast as there is room in its ring; the time is that
// until the last is applied there, for each. BenchmarkClosedLoop waits for each before the next.
func BenchmarkPipelined(b *testing.B) {
	c := newTestCluster(b, 3)
	c.do(0, ids.Namespace, namespace.Init{}.Encode())
	op := namespace.Create{Parent: ids.RootIno, Name: "f", Mode: 0o100644}.Encode()
	var last *Call
	b.ReportAllocs()
	for b.Loop() {
		call, err := c.members[0].node.Submit(context.Background(), ids.Namespace, op)
		if err != nil {
			b.Fatal(err)
		}
		last = call
	}
	if _, err := last.Wait(context.Background()); err != nil {
		b.Fatal(err)
	}
}
