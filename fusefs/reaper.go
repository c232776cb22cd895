package fusefs

import (
	"context"
	"slices"
	"sync"
	"time"

	"dfs/ids"
	"dfs/namespace"
	"dfs/objects"
)

// reaper finishes off what was removed (U9). An inode without a name lives on while somebody has it open. When this
// node has not, the reaper releases it; when all nodes have released it, it is gone, and the one whose release
// was the last drops the contents. Whatever is left over after a crash is found again among the orphans.
type reaper struct {
	f    *filesystem
	wake chan struct{}

	mu     sync.Mutex
	shards map[ids.Subgroup]struct{} // which may have garbage
	held   map[ids.Ino]struct{}      // orphans that are open here, or that the kernel knows

	// Used by run alone.
	firstSeen map[ids.Ino]sighting
}

// sighting is when an orphan was seen first.
type sighting struct {
	at    time.Time
	makes uint64 // the last request that made a file until then
}

const (
	reapDelay  = 20 * time.Millisecond // so that rm -r is a few operations, not thousands
	reapPeriod = 30 * time.Second      // to find what others left
	// holdKnown is how long an orphan is held only because the kernel still knows it though it was asked to forget
	// it, for example as the working directory of a shell.
	holdKnown = time.Minute
	reapBatch = 4096
	// pruneBatch keeps the message to the kernel small.
	pruneBatch = 256
)

func newReaper(f *filesystem) *reaper {
	return &reaper{f: f, wake: make(chan struct{}, 1), shards: map[ids.Subgroup]struct{}{}, firstSeen: map[ids.Ino]sighting{}}
}

// poke has the reaper look for orphans soon. It never blocks.
func (r *reaper) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// letGo is told when a handle of an inode is closed, and when the kernel has forgotten an inode.
func (r *reaper) letGo(ino ids.Ino) {
	r.mu.Lock()
	_, held := r.held[ino]
	r.mu.Unlock()
	if held {
		r.poke()
	}
}

// purge has garbage in a shard deleted.
func (r *reaper) purge(sub ids.Subgroup) {
	r.mu.Lock()
	r.shards[sub] = struct{}{}
	r.mu.Unlock()
	r.poke()
}

// run works until the mount is gone.
func (r *reaper) run(ctx context.Context) {
	r.afresh(ctx)
	tick := time.NewTicker(reapPeriod)
	defer tick.Stop()
	delay := reapDelay
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-tick.C:
		}
		pause := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
		began := time.Now()
		if err := r.reap(ctx); err != nil && ctx.Err() == nil {
			r.f.limited.warn("removed files could not be cleaned up; this is tried again", "error", err)
		}
		r.sweep(ctx)
		delay = max(reapDelay, 10*time.Since(began)) // it must not take more than a small share of the time
	}
}

// afresh releases everything: what was open here before is not any more.
func (r *reaper) afresh(ctx context.Context) {
	for after := ids.Ino(0); ; {
		op := namespace.ReleaseAll{Node: r.f.store.Self(), Members: r.f.store.Members(), After: after}
		res, err := r.f.do(ctx, ids.Namespace, op.Encode())
		if err != nil {
			return // the periodic search finds them too
		}
		released, err := namespace.DecodeReleaseResult(res.Body)
		if err != nil {
			return
		}
		_ = r.drop(ctx, released.Gone)
		if after = released.Next; after == 0 {
			break
		}
	}
	for sub := range r.f.store.DataShards() {
		r.purge(ids.Subgroup(sub + 1))
	}
	r.poke()
}

// reap releases the orphans that are not open here and finishes off those that are gone.
func (r *reaper) reap(ctx context.Context) error {
	state, err := r.f.store.Now(ctx, ids.Namespace)
	if err != nil {
		return err
	}
	self, members := r.f.store.Self(), r.f.store.Members()
	first := len(members) > 0 && members[0] == self // does what one member must do
	seen, makes := map[ids.Ino]sighting{}, r.f.nodes.newestMake()
	var release, held []ids.Ino
	var left []namespace.Gone
	namespace.Orphans(state, 0, func(ino ids.Ino, o namespace.Orphan) bool {
		since, known := r.firstSeen[ino]
		if !known {
			since = sighting{at: time.Now(), makes: makes}
		}
		seen[ino] = since
		old := time.Since(since.at) > holdKnown
		switch {
		case o.Gone && first && known:
			left = append(left, namespace.Gone{Ino: ino, Type: namespace.Regular})
		case o.Gone:
		case !slices.Contains(o.Released, self):
			if r.f.nodes.release(ino, since.makes, old) {
				release = append(release, ino)
			} else {
				held = append(held, ino)
			}
		case first && containsAll(o.Released, members):
			release = append(release, ino) // a member that had it open has left the view
		}
		return true
	})
	r.firstSeen = seen
	release = append(release, r.hold(held)...)
	r.f.nodes.prune(func(ino ids.Ino) bool { _, ok := seen[ino]; return ok })
	for batch := range slices.Chunk(release, reapBatch) {
		op := namespace.Release{Node: self, Members: members, Inos: batch}
		res, err := r.f.do(ctx, ids.Namespace, op.Encode())
		if err != nil {
			return err
		}
		released, err := namespace.DecodeReleaseResult(res.Body)
		if err != nil {
			return err
		}
		left = append(left, released.Gone...)
	}
	return r.drop(ctx, left)
}

// hold notes which orphans are in use here, so that the end of it wakes the reaper, and asks the kernel to forget
// those that it only keeps in case. It returns those that were let go before that was noted.
func (r *reaper) hold(inos []ids.Ino) (closed []ids.Ino) {
	held := make(map[ids.Ino]struct{}, len(inos))
	for _, ino := range inos {
		held[ino] = struct{}{}
	}
	r.mu.Lock()
	r.held = held
	r.mu.Unlock()
	var kept []ids.Ino
	for _, ino := range inos {
		if r.f.nodes.release(ino, r.firstSeen[ino].makes, false) {
			closed = append(closed, ino)
		} else {
			kept = append(kept, ino)
		}
	}
	for batch := range slices.Chunk(kept, pruneBatch) {
		r.f.prune(batch)
	}
	return closed
}

func containsAll(released, members []ids.NodeID) bool {
	for _, m := range members {
		if !slices.Contains(released, m) {
			return false
		}
	}
	return true
}

// drop deletes the contents of files that are gone.
func (r *reaper) drop(ctx context.Context, all []namespace.Gone) error {
	shards := map[ids.Subgroup][]ids.Ino{}
	for _, g := range all {
		if g.Type == namespace.Regular {
			sub := r.f.store.DataShard(g.Ino)
			shards[sub] = append(shards[sub], g.Ino)
		}
	}
	for sub, inos := range shards {
		for batch := range slices.Chunk(inos, reapBatch) {
			if _, err := r.f.do(ctx, sub, objects.Drop{Inos: batch}.Encode()); err != nil {
				return err
			}
			if _, err := r.f.do(ctx, ids.Namespace, namespace.Dropped{Inos: batch}.Encode()); err != nil {
				return err
			}
		}
		r.purge(sub)
	}
	return nil
}

// sweep deletes what large files that were emptied or dropped have left in the index.
func (r *reaper) sweep(ctx context.Context) {
	r.mu.Lock()
	shards := r.shards
	r.shards = map[ids.Subgroup]struct{}{}
	r.mu.Unlock()
	for sub := range shards {
		state, err := r.f.store.Now(ctx, sub)
		for more := err == nil && objects.Garbage(state); more && ctx.Err() == nil; {
			res, err := r.f.do(ctx, sub, objects.Purge{}.Encode())
			if err != nil {
				return
			}
			more, _ = objects.DecodeMore(res.Body)
		}
	}
}
