package shards

import "dfs/ids"

// A Layout says which subgroups share a group, that is one total order, and who replicates them. It
// is a pure function of the members and the number of data shards, so all members compute the same.
type Layout struct {
	Groups []GroupLayout
}

// GroupLayout is one group: the subgroups it orders and the nodes that hold them, by rank.
type GroupLayout struct {
	Members   []ids.NodeID
	Subgroups []ids.Subgroup
}

// NewLayout lays out the namespace and shards data shards over members. Every member holds every
// subgroup, so there is one group.
func NewLayout(members []ids.NodeID, shards int) Layout {
	subs := make([]ids.Subgroup, 0, shards+1)
	for s := range shards + 1 {
		subs = append(subs, ids.Subgroup(s))
	}
	return Layout{Groups: []GroupLayout{{Members: members, Subgroups: subs}}}
}

// GroupOf returns the group that orders sub.
func (l *Layout) GroupOf(sub ids.Subgroup) (ids.Group, bool) {
	for g := range l.Groups {
		for _, s := range l.Groups[g].Subgroups {
			if s == sub {
				return ids.Group(g), true
			}
		}
	}
	return 0, false
}

// ShardOf returns the data shard of an inode among n: a multiplicative hash, so that files made one
// after the other spread.
func ShardOf(ino ids.Ino, n int) ids.Subgroup {
	return ids.Subgroup(1 + (uint64(ino)*0x9e3779b97f4a7c15>>32)%uint64(n))
}
