package shards

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"dfs/ids"
	"dfs/namespace"
	"dfs/objects"
	"dfs/views"
)

// reconfigure tries until the configured nodes are those.
func (c *testCluster) reconfigure(by int, nodes ...ids.NodeID) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		err := c.members[by].node.Reconfigure(ctx, func([]views.Peer) (out []views.Peer) {
			for _, n := range nodes {
				out = append(out, views.Peer{Node: n})
			}
			return out
		})
		if err == nil {
			return
		}
	}
	c.t.Fatalf("the nodes do not become %v", nodes)
}

// settle waits until the data is where the layout of the nodes says, and checks that it is.
func (c *testCluster) settle(by int, replicas int, nodes ...ids.NodeID) {
	c.t.Helper()
	limit := time.Now().Add(30 * time.Second)
	for {
		s, err := c.members[by].node.Status(context.Background())
		if err != nil {
			c.t.Fatal(err)
		}
		if s.Open && slices.Equal(s.View.NodeIDs(), nodes) && len(s.View.Layouts()) == 1 && len(s.View.Members) == len(nodes) {
			break
		}
		if time.Now().After(limit) {
			c.t.Fatalf("data does not come to rest: view %+v", s.View)
		}
		c.members[by].node.Sync(context.Background()) // some time passes
	}
	for _, node := range nodes {
		_, hollow := c.members[node-1].has()
		for v, r := range hollow {
			if slices.Contains(Keepers(nodes, r.Subgroup(), replicas), node) {
				c.t.Fatalf("G9: node %d lacks version %v of shard %d", node, v, r.Subgroup())
			}
		}
	}
}

// G9: when a node goes, others take over its shards while the view goes on; when one comes it takes over what it is to keep;
// a restart in the midst of that does no harm.
func TestDataMoves(t *testing.T) {
	const size, replicas = 2_000_000, 2
	c := newReplicatedCluster(t, 4, replicas)
	c.do(0, ids.Namespace, namespace.Init{}.Encode())
	rng := rand.New(rand.NewPCG(2, 1))
	files := map[ids.Ino][]byte{}
	write := func(ino ids.Ino) {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		for off := 0; off < size; off += 200_000 {
			c.do(int(ino)%3, ShardOf(ino, 2), objects.Write{Ino: ino, Off: int64(off)}.Encode(), data[off:off+200_000])
		}
		files[ino] = data
	}
	for ino := range ids.Ino(4) {
		write(20 + ino)
	}
	gone := Keepers([]ids.NodeID{1, 2, 3, 4}, 1, replicas)[0]
	var left []ids.NodeID
	for n := range ids.NodeID(4) {
		if n+1 != gone {
			left = append(left, n+1)
		}
	}
	by := int(left[0]) - 1
	c.reconfigure(by, left...)
	c.kill(int(left[2]) - 1)
	c.start(int(left[2]) - 1)
	write(40)
	c.settle(by, replicas, left...)
	c.kill(int(gone) - 1)
	check := func() {
		t.Helper()
		for ino, want := range files {
			for _, n := range left {
				if got := c.readAll(int(n)-1, ino, size); !bytes.Equal(got, want) {
					t.Fatalf("node %d reads file %d wrong", n, ino)
				}
			}
		}
	}
	check()
	c.start(int(gone) - 1)
	c.reconfigure(by, 1, 2, 3, 4)
	write(41)
	c.settle(by, replicas, 1, 2, 3, 4)
	left = []ids.NodeID{1, 2, 3, 4}
	check()
}
