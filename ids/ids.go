package ids

import (
	"fmt"
	"strconv"
	"strings"
)

// NodeID names one node of a cluster for its whole life. 0 is no node.
type NodeID uint32

// Rank is a node's position in the member list of a view, from 0.
type Rank int

// ViewID numbers the views of a cluster consecutively from 1. 0 is "no view yet".
type ViewID uint32

// Subgroup numbers the replicated state machines of a cluster: Namespace, then the data shards from 1.
type Subgroup uint16

// Namespace is the subgroup that holds directories and inodes.
const Namespace Subgroup = 0

// Group numbers the total orders of a view. Subgroups whose replicas are the same nodes share one
// group, so that what one node does to all of them is ordered without waiting.
type Group uint16

// Ino is a live inode number. 0 is none; RootIno is the root directory.
type Ino uint64

// RootIno is the inode number of the root directory, as FUSE demands.
const RootIno Ino = 1

// seqBits is how many low bits of a Version count the messages of one view: 2^40 messages at a
// million a second last twelve days, after which a new view must be installed.
const seqBits = 40

// MaxSeq is the last message number that a view may use, and MaxView the last view.
const (
	MaxSeq  = 1<<seqBits - 1
	MaxView = ViewID(1<<(63-seqBits) - 1)
)

// Version names one delivered message of a group: the view it was delivered in and its number
// there, counted from 1 over messages (nulls are not counted). Versions of one group increase
// strictly; version+1 is not the next version, for a view may end anywhere.
type Version uint64

// MakeVersion joins a view and a message number; seq must not exceed MaxSeq.
func MakeVersion(view ViewID, seq uint64) Version {
	if seq > MaxSeq || view > MaxView {
		panic(fmt.Sprintf("ids: version %d.%d is out of range (%d.%d)", view, seq, MaxView, uint64(MaxSeq)))
	}
	return Version(uint64(view)<<seqBits | seq)
}

// View returns the view that delivered the message.
func (v Version) View() ViewID { return ViewID(v >> seqBits) }

// Seq returns the message's number in its view.
func (v Version) Seq() uint64 { return uint64(v) & MaxSeq }

// String prints VIEW.SEQ, the form that @v= and the tools accept.
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.View(), v.Seq()) }

// ParseVersion reads the form VIEW.SEQ.
func ParseVersion(s string) (Version, error) {
	a, b, ok := strings.Cut(s, ".")
	view, err1 := strconv.ParseUint(a, 10, 32)
	seq, err2 := strconv.ParseUint(b, 10, 64)
	if !ok || err1 != nil || err2 != nil || view > uint64(MaxView) || seq > MaxSeq {
		return 0, fmt.Errorf("version %q is not VIEW.SEQ, for example 3.1042", s)
	}
	return MakeVersion(ViewID(view), seq), nil
}
