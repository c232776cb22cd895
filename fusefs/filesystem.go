package fusefs

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/hanwen/go-fuse/v2/fuse"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
)

// filesystem answers the kernel's requests. Methods with the names of requests are called by the loop, many at
// once; they do nothing but sort out the past from the present, wait for what must be waited for, and turn
// operations and queries of the state machines into replies.
type filesystem struct {
	fuse.RawFileSystem // answers ENOSYS to what is not here

	cfg     Config
	store   Store
	log     *slog.Logger
	limited *limiter
	ctx     context.Context // ends when the mount does
	nodes   *nodeTable
	handles *handleTable
	moments *moments
	forget  *forgetter
	grants  *grants
	prune   func(inos []ids.Ino) // makes it forget what it only keeps in case it is asked for
	reaper  *reaper
	locks   *lockTable

	interrupted atomic.Uint64
}

func newFilesystem(ctx context.Context, cfg Config) *filesystem {
	f := &filesystem{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		cfg:           cfg, store: cfg.Store, log: cfg.Logger, ctx: ctx,
		limited: newLimiter(cfg.Logger),
		nodes:   newNodeTable(), handles: newHandleTable(), moments: newMoments(),
		prune: func([]ids.Ino) {},
	}
	f.forget, f.grants = newForgetter(f, func(ids.Ino) error { return nil }), newGrants(cfg.Store.Vouched)
	f.reaper = newReaper(f)
	f.locks = newLockTable(f)
	return f
}

// String is the name of the filesystem.
func (f *filesystem) String() string { return "dfs" }

// fail turns an error into the answer to the kernel. What should not happen is logged: the caller learns only
// "input/output error" (U1).
func (f *filesystem) fail(what string, err error) fuse.Status {
	if err == nil {
		return fuse.OK
	}
	k := kindOf(err)
	switch k {
	case errs.IO, errs.Corrupt, errs.Unavailable:
		f.limited.warn("request failed", "request", what, "error", err)
	case errs.Interrupted:
		f.interrupted.Add(1)
	}
	return status(k)
}

// node returns what the kernel means by a number.
func (f *filesystem) node(id uint64) (*node, error) {
	n := f.nodes.find(id)
	if n == nil {
		return nil, errs.New(errs.Stale, "the kernel asks for node %d, which it was not given or gave back", id)
	}
	return n, nil
}

// reader returns the records of a subgroup as of the node's moment.
func (f *filesystem) reader(ctx context.Context, n *node, sub ids.Subgroup) (index.Reader, error) {
	if n.sort == sortPast {
		return f.pastOf(ctx, sub, n.at)
	}
	return f.now(ctx, sub)
}

// names returns the namespace as of the node's moment.
func (f *filesystem) names(ctx context.Context, n *node) (index.Reader, error) {
	return f.reader(ctx, n, ids.Namespace)
}

// contents returns the records of a file's data shard as of the node's moment, with every write that was
// answered here.
func (f *filesystem) contents(ctx context.Context, n *node) (index.Reader, error) {
	if n.live() {
		if err := n.writes.settle(ctx); err != nil {
			return nil, err
		}
	}
	return f.reader(ctx, n, f.store.DataShard(n.ino))
}

// now, pastOf, persist, submit and await are the Store's, but a signal that does not kill the caller does not end
// them.
func (f *filesystem) now(ctx context.Context, sub ids.Subgroup) (index.Reader, error) {
	r, err := f.store.Now(ctx, sub)
	if goOn(ctx, err) {
		return f.store.Now(ctx, sub)
	}
	return r, err
}

func (f *filesystem) pastOf(ctx context.Context, sub ids.Subgroup, at hlc.Timestamp) (index.Reader, error) {
	r, err := f.store.At(ctx, sub, at)
	if goOn(ctx, err) {
		return f.store.At(ctx, sub, at)
	}
	return r, err
}

func (f *filesystem) persist(ctx context.Context) error {
	err := f.store.Sync(ctx)
	if goOn(ctx, err) {
		return f.store.Sync(ctx)
	}
	return err
}

func (f *filesystem) submit(ctx context.Context, sub ids.Subgroup, op []byte, data ...[]byte) (Call, error) {
	call, err := f.store.Submit(ctx, sub, op, data...)
	if goOn(ctx, err) {
		return f.store.Submit(ctx, sub, op, data...)
	}
	return call, err
}

func await(ctx context.Context, call Call) (Result, error) {
	res, err := call.Wait(ctx)
	if goOn(ctx, err) {
		return call.Wait(ctx)
	}
	return res, err
}

// do submits an operation and waits for its result.
func (f *filesystem) do(ctx context.Context, sub ids.Subgroup, op []byte) (Result, error) {
	call, err := f.submit(ctx, sub, op)
	if err != nil {
		return Result{}, err
	}
	res, err := await(ctx, call)
	if err == nil && res.Kind != errs.OK {
		err = res.Kind
	}
	return res, err
}
