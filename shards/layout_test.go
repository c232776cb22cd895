package shards

import (
	"math/rand/v2"
	"slices"
	"testing"

	"dfs/ids"
)

// someNodes returns count nodes with random numbers, in order.
func someNodes(rng *rand.Rand, count int) []ids.NodeID {
	set := map[ids.NodeID]bool{}
	for len(set) < count {
		set[ids.NodeID(1+rng.IntN(200))] = true
	}
	var nodes []ids.NodeID
	// In any order: they are sorted below.
	for n := range set {
		nodes = append(nodes, n)
	}
	slices.Sort(nodes)
	return nodes
}

// G8: the layout is a function of the set of nodes; a shard has as many keepers as it should, each once; and when a node
// comes or goes, only what it takes over or leaves behind moves.
func TestKeepers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		nodes := someNodes(rng, 1+rng.IntN(9))
		replicas := 1 + rng.IntN(4)
		comes := nodes[rng.IntN(len(nodes))]
		without := slices.DeleteFunc(slices.Clone(nodes), func(n ids.NodeID) bool { return n == comes })
		for shard := ids.Subgroup(1); shard <= 32; shard++ {
			now := Keepers(nodes, shard, replicas)
			if len(now) != min(replicas, len(nodes)) || !slices.IsSorted(now) || len(slices.Compact(slices.Clone(now))) != len(now) {
				t.Fatalf("%d of %v keep shard %d: %v", replicas, nodes, shard, now)
			}
			shuffled := slices.Clone(nodes)
			rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			if again := Keepers(shuffled, shard, replicas); !slices.Equal(again, now) {
				t.Fatalf("the order of %v matters: %v, then %v", nodes, now, again)
			}
			before := Keepers(without, shard, replicas)
			gained := slices.DeleteFunc(slices.Clone(now), func(n ids.NodeID) bool { return slices.Contains(before, n) })
			lost := slices.DeleteFunc(slices.Clone(before), func(n ids.NodeID) bool { return slices.Contains(now, n) })
			switch {
			case slices.Contains(now, comes):
				if !slices.Equal(gained, []ids.NodeID{comes}) || len(lost) > 1 {
					t.Fatalf("node %d comes to %v: shard %d moves from %v to %v", comes, without, shard, before, now)
				}
			case !slices.Equal(before, now):
				t.Fatalf("node %d comes to %v and does not keep shard %d, which moves from %v to %v", comes, without, shard, before, now)
			}
		}
		if all := Keepers(nodes, ids.Namespace, replicas); !slices.Equal(all, nodes) {
			t.Fatalf("the namespace of %v is kept by %v", nodes, all)
		}
	}
}

// G8: over many shards every node keeps about its share.
func TestKeepersSpread(t *testing.T) {
	const shards, replicas = 1024, 3
	rng := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		nodes := someNodes(rng, 4+rng.IntN(9))
		kept := map[ids.NodeID]int{}
		for shard := ids.Subgroup(1); shard <= shards; shard++ {
			for _, n := range Keepers(nodes, shard, replicas) {
				kept[n]++
			}
		}
		share := shards * replicas / len(nodes)
		for _, n := range nodes {
			if kept[n] < share*3/4 || kept[n] > share*5/4 {
				t.Fatalf("node %d of %v keeps %d shards, its share is %d", n, nodes, kept[n], share)
			}
		}
	}
}
