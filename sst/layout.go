package sst

import (
	"fmt"

	"dfs/ids"
)

// Column is the place of a word in every row, counted in words.
type Column int

// Layout says where the columns are. Equal layouts have equal columns, so members that agree on
// the view agree on the table.
type Layout struct {
	Members int // of the view, at least 1
	Groups  int // total orders in the view
}

const (
	lineWords = 8 // words in a cache line
	perGroup  = 7 // columns of a group beside Received
	fixed     = 4 // columns of a row beside those of groups and Echo
)

func (l Layout) groupWords() int { return perGroup + l.Members }

func (l Layout) group(g ids.Group) Column {
	if int(g) >= l.Groups {
		panic(fmt.Sprintf("sst: S1: group %d of %d", g, l.Groups))
	}
	return Column(int(g) * l.groupWords())
}

// Tail is the number of bytes that the owner has published in its ring of group g.
func (l Layout) Tail(g ids.Group) Column { return l.group(g) }

// Sent is the number of slots that the owner has used up in group g; it vouches for Tail.
func (l Layout) Sent(g ids.Group) Column { return l.group(g) + 1 }

// Received is the number of slots of sender that the owner has received in group g.
func (l Layout) Received(g ids.Group, sender ids.Rank) Column {
	if sender < 0 || int(sender) >= l.Members {
		panic(fmt.Sprintf("sst: S1: member %d of %d", sender, l.Members))
	}
	return l.group(g) + 2 + Column(sender)
}

// Delivered is the position in the order of group g below which the owner has delivered and logged
// every message.
func (l Layout) Delivered(g ids.Group) Column { return l.group(g) + 2 + Column(l.Members) }

// Persisted is the number of the last message of group g that is durable at the owner.
func (l Layout) Persisted(g ids.Group) Column { return l.Delivered(g) + 1 }

// Frontier is the owner's promise about group g: what it sends beyond Sent is stamped later than this.
func (l Layout) Frontier(g ids.Group) Column { return l.Delivered(g) + 2 }

// WantPersisted is the message of group g that the owner wants to be durable at every member.
func (l Layout) WantPersisted(g ids.Group) Column { return l.Delivered(g) + 3 }

// WantFrontier is the time that the owner wants every member's Frontier of group g to reach.
func (l Layout) WantFrontier(g ids.Group) Column { return l.Delivered(g) + 4 }

// Echo is the newest Heartbeat of another member that the owner has seen. It tells that member that the owner was
// not wedged when it saw it.
func (l Layout) Echo(of ids.Rank) Column {
	if of < 0 || int(of) >= l.Members {
		panic(fmt.Sprintf("sst: S1: member %d of %d", of, l.Members))
	}
	return Column(l.Groups*l.groupWords()) + Column(of)
}

// Low is odd while the owner's disk has no room for new data.
func (l Layout) Low() Column { return Column(l.Groups*l.groupWords() + l.Members) }

// Whole is 1 once the owner has, durably, all data that the layout of the view's configured nodes gives it.
func (l Layout) Whole() Column { return l.Low() + 1 }

// Wedged is 1 once the owner neither sends nor receives in this view any more. It vouches for the
// owner's Received and Frontier columns of all groups: they are final.
func (l Layout) Wedged() Column { return l.Whole() + 1 }

// Heartbeat grows while the owner lives. It vouches for the whole row.
func (l Layout) Heartbeat() Column { return l.Wedged() + 1 }

// RowWords is the length of a row, a multiple of a cache line.
func (l Layout) RowWords() int {
	used := l.Groups*l.groupWords() + l.Members + fixed
	return (used + lineWords - 1) / lineWords * lineWords
}

// Words is the length of the whole table.
func (l Layout) Words() int { return l.Members * l.RowWords() }
