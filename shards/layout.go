package shards

import (
	"cmp"
	"slices"

	"dfs/ids"
)

// DefaultReplicas is how many nodes keep the data of a shard unless it is said otherwise.
const DefaultReplicas = 3

// A Layout says which subgroups share a group, that is one total order. It is a pure function of the number of data
// shards, so all members compute the same.
type Layout struct {
	Groups []GroupLayout
}

// GroupLayout is one group: the subgroups that it orders.
type GroupLayout struct {
	Subgroups []ids.Subgroup
}

// NewLayout lays out the namespace and a number of data shards. Every member of a view is in the order of all of them,
// so there is one group; which nodes keep the data of a shard is another matter, see Keepers.
func NewLayout(shards int) Layout {
	subs := make([]ids.Subgroup, 0, shards+1)
	for s := range shards + 1 {
		subs = append(subs, ids.Subgroup(s))
	}
	return Layout{Groups: []GroupLayout{{Subgroups: subs}}}
}

// ShardOf returns the data shard of an inode among n: a multiplicative hash, so that files made one
// after the other spread.
func ShardOf(ino ids.Ino, n int) ids.Subgroup {
	return ids.Subgroup(1 + (uint64(ino)*0x9e3779b97f4a7c15>>32)%uint64(n))
}

// Keepers returns which of the nodes keep the data of a shard, in the order of their numbers: as many as there are to
// be replicas, or all nodes if there are no more. It is rendezvous hashing (Thaler and Ravishankar, A Name-Based Mapping
// Scheme for Rendezvous, 1996): each node has a weight for each shard, and the heaviest keep it. So a node that comes takes
// over some shards and no other node gets any, and of a node that goes the shards are taken over, and no others move.
// The namespace has no data; all keep it.
func Keepers(nodes []ids.NodeID, shard ids.Subgroup, replicas int) []ids.NodeID {
	keepers := slices.Clone(nodes)
	if shard != ids.Namespace && len(nodes) > replicas {
		slices.SortFunc(keepers, func(a, b ids.NodeID) int {
			return cmp.Or(cmp.Compare(weight(b, shard), weight(a, shard)), cmp.Compare(a, b))
		})
		keepers = keepers[:replicas]
	}
	slices.Sort(keepers)
	return keepers
}

// weight mixes the numbers of a node and a shard (the finalizer of SplitMix64: Steele, Lea and Flood, Fast Splittable
// Pseudorandom Number Generators, 2014).
func weight(node ids.NodeID, shard ids.Subgroup) uint64 {
	x := uint64(node)<<16 | uint64(shard)
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// keepers returns which of the nodes keep the data of each data shard.
func (n *Node) keepers(nodes []ids.NodeID) [][]ids.NodeID {
	out := make([][]ids.NodeID, n.cfg.Shards)
	for s := range out {
		out[s] = Keepers(nodes, ids.Subgroup(s+1), n.cfg.Replicas)
	}
	return out
}

// homes says which nodes are to have the data of which shards.
type homes struct {
	everywhere bool // all nodes have all data
	has        map[ids.NodeID][]bool
}

// newHomes puts together what several sets of nodes, each by its layout, say.
func newHomes(layouts [][]ids.NodeID, shards, replicas int) homes {
	h := homes{everywhere: true, has: map[ids.NodeID][]bool{}}
	for _, nodes := range layouts {
		h.everywhere = h.everywhere && len(nodes) <= replicas
		for _, n := range nodes {
			if h.has[n] == nil {
				h.has[n] = make([]bool, shards+1)
			}
		}
	}
	for _, nodes := range layouts {
		for s := range shards + 1 {
			for _, n := range Keepers(nodes, ids.Subgroup(s), replicas) {
				h.has[n][s] = true
			}
		}
	}
	return h
}

// of returns which nodes are to have the data of a subgroup.
func (h *homes) of(sub ids.Subgroup) []ids.NodeID {
	var out []ids.NodeID
	// In any order: they are sorted below.
	for n := range h.has {
		if h.keeps(n, sub) {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

// keeps reports whether node is to have the data of a subgroup.
func (h *homes) keeps(node ids.NodeID, sub ids.Subgroup) bool {
	has := h.has[node]
	return h.everywhere || int(sub) < len(has) && has[sub]
}
