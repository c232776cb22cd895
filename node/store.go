package node

import (
	"context"
	"sync/atomic"

	"dfs/fusefs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
	"dfs/namespace"
	"dfs/shards"
)

// store is the engine as the mount sees it.
type store struct {
	*shards.Node
	index   *index.Index
	space   *space
	life    uint32 // the node's incarnation
	applied atomic.Pointer[func(sub ids.Subgroup, origin ids.NodeID, op []byte)]
	acked   atomic.Pointer[func(sub ids.Subgroup, op []byte)]
}

// call is an operation under way as the mount sees it.
type call struct{ *shards.Call }

// Wait returns the result of the operation.
func (c call) Wait(ctx context.Context) (fusefs.Result, error) {
	r, err := c.Call.Wait(ctx)
	return fusefs.Result(r), err
}

// newStore must be called before the engine starts.
func newStore(engine *shards.Node, x *index.Index, room *space, incarnation uint32) *store {
	s := &store{Node: engine, index: x, space: room, life: incarnation}
	engine.OnApply(func(sub ids.Subgroup, origin ids.NodeID, op []byte) {
		if fn := s.applied.Load(); fn != nil {
			(*fn)(sub, origin, op)
		}
	})
	engine.OnAcknowledge(func(sub ids.Subgroup, op []byte) {
		if fn := s.acked.Load(); fn != nil {
			(*fn)(sub, op)
		}
	})
	return s
}

// OnApply tells the mount, which comes after the engine has started, what is applied.
func (s *store) OnApply(fn func(sub ids.Subgroup, origin ids.NodeID, op []byte)) {
	s.applied.Store(&fn)
}

// OnAcknowledge tells the mount what is about to be acknowledged.
func (s *store) OnAcknowledge(fn func(sub ids.Subgroup, op []byte)) { s.acked.Store(&fn) }

// Submit passes an operation to the engine.
func (s *store) Submit(ctx context.Context, sub ids.Subgroup, op []byte, data ...[]byte) (fusefs.Call, error) {
	c, err := s.Node.Submit(ctx, sub, op, data...)
	if err != nil {
		return nil, err
	}
	return call{c}, nil
}

// Incarnation tells the lives of this node apart.
func (s *store) Incarnation() uint32 { return s.life }

// Space is what statfs(2) shows: the disk of this node, and how many files there are everywhere.
func (s *store) Space() fusefs.Space {
	total, free := s.space.sizes()
	files := namespace.Count(s.index.At(ids.Namespace, hlc.Latest))
	// Each new file costs at least a record in the log.
	const perFile = 512
	return fusefs.Space{TotalBytes: total, FreeBytes: free, Files: files + free/perFile, FreeFiles: free / perFile}
}
