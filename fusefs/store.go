package fusefs

import (
	"context"
	"time"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
)

// Store is what the mount needs of the node that it runs on: the replicated state machines, their past and
// the bytes of files. Package shards has it; all methods may be called by many goroutines at once.
type Store interface {
	// Submit copies the operation into the ring and returns; it blocks only for room there or for a view.
	// Operations submitted one after the other are delivered in that order. An error means that the operation
	// was not submitted.
	Submit(ctx context.Context, sub ids.Subgroup, op []byte, data ...[]byte) (Call, error)
	// Sync returns when everything submitted here before is on persistent storage at every replica.
	Sync(ctx context.Context) error
	// Now returns the newest state, after everything acknowledged anywhere when it was called was delivered.
	Now(ctx context.Context, sub ids.Subgroup) (index.Reader, error)
	// NowReady says that Now would not wait.
	NowReady() bool
	// At returns the state as of t. Its errors are of kind Future or BeforeBeginning where t is.
	At(ctx context.Context, sub ids.Subgroup, t hlc.Timestamp) (index.Reader, error)
	// ReadData reads from the record at lsn, starting at off of its data.
	ReadData(lsn uint64, off int, p []byte) error
	// History calls fn with every value that a key ever had, newest first.
	History(sub ids.Subgroup, key []byte, fn func(since hlc.Timestamp, value []byte, deleted bool) bool)
	// DataShard returns the subgroup that holds a file's contents.
	DataShard(ino ids.Ino) ids.Subgroup
	// TimeOf returns the moment at which a version was delivered.
	TimeOf(v ids.Version) (hlc.Timestamp, error)
	// Physical is now.
	Physical() hlc.Timestamp
	// OnApply has fn called with each operation in the order of delivery: when the state shows what it did, and before
	// Now answers anybody who must see it. fn must not block.
	OnApply(fn func(sub ids.Subgroup, origin ids.NodeID, op []byte))
	// OnAcknowledge has fn called with each operation before this node acknowledges or publishes it, and so before any
	// node shows what it did; and with no operation whenever it is not known what may have changed. What Now shows after fn
	// began is with the operation. fn must not block.
	OnAcknowledge(fn func(sub ids.Subgroup, op []byte))
	// Vouched returns for how long what Now shows is the present though nothing more is heard of the other nodes, but
	// for what OnAcknowledge tells.
	Vouched() time.Duration
	// Self is the node's own number, as in origin, and Members are those of the present view, by rank.
	Self() ids.NodeID
	Members() []ids.NodeID
	// Incarnation tells the lives of the node apart: it is greater in each than in those before.
	Incarnation() uint32
	// DataShards is how many data shards there are: they are numbered from 1.
	DataShards() int
	// Space tells how much room there is.
	Space() Space
}

// Call is an operation that was submitted.
type Call interface {
	// Ready says that Wait would not wait.
	Ready() bool
	// Wait returns the operation's result once every member has received it. If ctx ends first the error is of
	// kind Interrupted and the operation may still happen.
	Wait(ctx context.Context) (Result, error)
}

// Result is what applying an operation answered.
type Result struct {
	Kind      errs.Kind // OK, or why the operation changed nothing
	Body      []byte    // the state machine's answer
	Timestamp hlc.Timestamp
	Version   ids.Version
}

// Space is what statfs(2) shows: how much there is in all, and how much of that is free.
type Space struct {
	TotalBytes, FreeBytes uint64
	Files, FreeFiles      uint64
}
