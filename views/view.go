package views

import (
	"cmp"
	"slices"

	"dfs/hlc"
	"dfs/ids"
)

// Peer is a configured node of the cluster and where it listens, as host:port.
type Peer struct {
	Node ids.NodeID
	Addr string
}

// Member is a node in one of its lives.
type Member struct {
	Node        ids.NodeID
	Incarnation uint32
}

// View is a numbered list of members; a member's rank is its index.
type View struct {
	ID      ids.ViewID
	Members []Member // by rank, in the order of their nodes
	// Nodes are the configured nodes of the cluster as of this view, by number. A majority of them decides what
	// comes after it, and at least a majority of them are its members.
	Nodes []Peer
	// Settled are the nodes by whose layout every member has its data whole. They are the configured ones, except while
	// data moves to the members that the layout of the configured nodes gives more than they had.
	Settled []ids.NodeID
	// Floor is a moment before which no message of the view may be stamped: everything that was
	// answered about the past before the view began stays true.
	Floor hlc.Timestamp
	// Ended is where the view before ended, or the last one of which somebody held the rings; nil if there was none. Who still
	// holds them and has not heard of it delivers what lies in them up to there.
	Ended *Trim
}

// Rank returns the rank of node, or -1.
func (v *View) Rank(node ids.NodeID) ids.Rank {
	return ids.Rank(slices.IndexFunc(v.Members, func(m Member) bool { return m.Node == node }))
}

// Configured reports whether node is one of the cluster's.
func (v *View) Configured(node ids.NodeID) bool {
	return slices.ContainsFunc(v.Nodes, func(p Peer) bool { return p.Node == node })
}

// NodeIDs returns the numbers of the configured nodes.
func (v *View) NodeIDs() []ids.NodeID {
	out := make([]ids.NodeID, len(v.Nodes))
	for i, p := range v.Nodes {
		out[i] = p.Node
	}
	return out
}

// Layouts returns the sets of nodes whose layouts say where data of this view is kept: by the settled one it is to be
// had, and if data is moving, by the other one it will.
func (v *View) Layouts() [][]ids.NodeID {
	nodes := v.NodeIDs()
	if v.Settled == nil || slices.Equal(v.Settled, nodes) {
		return [][]ids.NodeID{nodes}
	}
	return [][]ids.NodeID{nodes, v.Settled}
}

// settled returns the set of nodes by whose layout data is to be had.
func (v *View) settled() []ids.NodeID { layouts := v.Layouts(); return layouts[len(layouts)-1] }

// Majority returns how many of the configured nodes it takes to decide.
func (v *View) Majority() int { return len(v.Nodes)/2 + 1 }

// decides reports whether those for whom in returns true are a majority of the configured nodes.
func (v *View) decides(in func(ids.NodeID) bool) bool {
	count := 0
	for _, p := range v.Nodes {
		if in(p.Node) {
			count++
		}
	}
	return count >= v.Majority()
}

// Trim is where each group's last view ends: Upto[g][r] slots of rank r are delivered.
type Trim struct {
	View ids.ViewID
	Upto [][]uint64
}

// Ballot orders the attempts of all leaders to get a next view accepted, as in Paxos.
type Ballot struct {
	Round uint64
	Node  ids.NodeID // whose ballot it is
}

// Compare orders ballots by round, then by node.
func (b Ballot) Compare(o Ballot) int {
	return cmp.Or(cmp.Compare(b.Round, o.Round), cmp.Compare(b.Node, o.Node))
}

// Number is the ballot as one number, which orders alike.
func (b Ballot) Number() uint64 { return b.Round<<32 | uint64(b.Node) }

// Proposal is a next view and how the one before it ends.
type Proposal struct {
	Ballot Ballot
	View   View
	Base   View  // the view before, which is installed somewhere
	Trim   *Trim // where it ends; nil if nobody holds its rings any more
}

// Durable is what a node must persist of views: the last view it installed, the ballot it promised to wait for,
// and the last proposal that it accepted.
type Durable struct {
	View     View
	Promised Ballot
	Accepted *Proposal
}

// Ends is what a node says of its log and its clock when it reports.
type Ends struct {
	End   []ids.Version // the last version in its log, by group
	Floor hlc.Timestamp // the latest moment that it answered about or promised anything for
	Now   hlc.Timestamp // its wall clock
	Whole bool          // it has, durably, the data that the layout of its view's configured nodes gives it
	Open  bool          // it has seen that the view that it was in was open at all members
}

// state is what every node tells every other of itself whenever it changes.
type state struct {
	member    Member
	attempt   uint64       // changes whenever its links or its phase do
	installed ids.ViewID   // the last view it installed, 0 for none
	active    bool         // it is in that view
	survivor  bool         // it left that view and still holds its rings
	current   ids.ViewID   // the view that it has caught up with from outside, 0 for none
	round     uint64       // of the highest ballot it promised
	links     []ids.NodeID // the nodes it has a link to, itself included

	layouts [][]ids.NodeID // of that view, if it is active
}

func (s *state) linked(node ids.NodeID) bool { return slices.Contains(s.links, node) }

// report is what a node tells the leader with its promise.
type report struct {
	member   Member
	attempt  uint64
	view     View       // the last view it installed
	survivor bool       // it holds the rings of that view
	received [][]uint64 // what they received, by group and rank
	accepted *Proposal
	current  ids.ViewID
	change   []Peer // the configuration that it was asked to bring about, nil for none
	ends     Ends
}

// blank reports whether a node knows nothing though there were views: it is new, or has lost its disk and with it what
// it promised.
func (r *report) blank(base ids.ViewID) bool {
	return base > 0 && r.view.ID == 0 && r.accepted == nil
}
