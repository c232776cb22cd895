package shards

import "dfs/ids"

// A Layout says which subgroups share a group, that is one total order. It is a pure function of the number of data
// shards, so all members compute the same. Every member of a view holds every subgroup.
type Layout struct {
	Groups []GroupLayout
}

// GroupLayout is one group: the subgroups that it orders.
type GroupLayout struct {
	Subgroups []ids.Subgroup
}

// NewLayout lays out the namespace and a number of data shards. All have the same replicas, so there is one group.
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
