package fusefs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
	"dfs/namespace"
	"dfs/objects"
)

// fake is a Store of one node, in memory: the real state machines on the real index, and a list for a log.
// Operations are delivered by a goroutine of its own, so that pipelining is real; hold stops it.
type fake struct {
	index  *index.Index
	shards int
	life   uint32 // of the node, before this one

	mu       sync.Mutex
	changed  *sync.Cond
	clock    hlc.Clock
	queue    []*fakeCall
	held     bool
	closed   bool
	newest   hlc.Timestamp
	versions map[ids.Version]hlc.Timestamp
	refuse   func(sub ids.Subgroup, op []byte) errs.Kind // makes operations fail when they are delivered
	known    map[string]struct{}                         // namespace keys that ever were
	applied  func(sub ids.Subgroup, origin ids.NodeID, op []byte)
	acked    func(sub ids.Subgroup, op []byte)
	vouched  time.Duration

	pending atomic.Int64
	resumed atomic.Bool // the reaper's first operation was submitted
	syncs   atomic.Int64
	data    atomic.Pointer[[][]byte]
	born    hlc.Timestamp
}

type fakeCall struct {
	sub    ids.Subgroup
	op     []byte
	data   []byte
	origin ids.NodeID
	done   chan struct{}
	result Result
}

func (c *fakeCall) Ready() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

func (c *fakeCall) Wait(ctx context.Context) (Result, error) {
	select {
	case <-c.done:
		return c.result, nil
	case <-ctx.Done():
		return Result{}, errs.Wrap(errs.Interrupted, ctx.Err(), "waiting")
	}
}

const fakeSelf, fakeOther ids.NodeID = 1, 2

func newFake() *fake {
	s := &fake{
		vouched: time.Hour,
		index:   index.New(index.NewMem(), index.Config{}), shards: 3, versions: map[ids.Version]hlc.Timestamp{}, known: map[string]struct{}{},
	}
	s.data.Store(&[][]byte{})
	s.changed = sync.NewCond(&s.mu)
	s.born = s.clock.Now(s.Physical())
	go s.deliver()
	s.must(ids.Namespace, namespace.Init{}.Encode())
	return s
}

// must carries out an operation of this node.
func (s *fake) must(sub ids.Subgroup, op []byte, data ...[]byte) Result {
	return s.as(fakeSelf, sub, op, data...)
}

// as carries out an operation of any node.
func (s *fake) as(origin ids.NodeID, sub ids.Subgroup, op []byte, data ...[]byte) Result {
	c := s.submit(origin, sub, op, data...)
	res, err := c.Wait(context.Background())
	if err != nil || res.Kind != errs.OK {
		panic(fmt.Sprintf("%v: %v, %v", op, res.Kind, err))
	}
	return res
}

func (s *fake) submit(origin ids.NodeID, sub ids.Subgroup, op []byte, data ...[]byte) *fakeCall {
	c := &fakeCall{sub: sub, op: slices.Clone(op), data: slices.Concat(data...), origin: origin, done: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, c)
	s.pending.Add(1)
	if s.acked != nil {
		s.acked(sub, c.op)
	}
	if o, err := namespace.Decode(op); sub == ids.Namespace && err == nil {
		if _, ok := o.(namespace.ReleaseAll); ok {
			s.resumed.Store(true)
		}
	}
	s.changed.Broadcast()
	return c
}

func (s *fake) Submit(ctx context.Context, sub ids.Subgroup, op []byte, data ...[]byte) (Call, error) {
	if ctx.Err() != nil {
		return nil, errs.Wrap(errs.Interrupted, ctx.Err(), "submit")
	}
	return s.submit(fakeSelf, sub, op, data...), nil
}

// holds reports whether the making of a name waits for the engine.
func (s *fake) holds(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.queue, func(c *fakeCall) bool {
		o, err := namespace.Decode(c.op)
		made, ok := o.(namespace.Create)
		return c.sub == ids.Namespace && err == nil && ok && made.Name == name
	})
}

// deliver is the engine.
func (s *fake) deliver() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for !s.closed && (s.held || len(s.queue) == 0) {
			s.changed.Wait()
		}
		if s.closed {
			return
		}
		batch := s.queue
		s.queue = nil
		tx := s.index.Begin()
		for _, c := range batch {
			s.apply(tx, c)
		}
		if err := tx.Commit(); err != nil {
			panic(err)
		}
		for _, c := range batch {
			if s.applied != nil && c.result.Kind == errs.OK {
				s.applied(c.sub, c.origin, c.op)
			}
			close(c.done)
		}
		s.pending.Add(-int64(len(batch)))
		s.changed.Broadcast()
	}
}

func (s *fake) apply(tx *index.Tx, c *fakeCall) {
	at := s.clock.Now(s.Physical())
	c.result.Timestamp = at
	c.result.Version = ids.MakeVersion(1, uint64(len(s.versions)+1))
	s.versions[c.result.Version] = at
	if s.refuse != nil {
		if k := s.refuse(c.sub, c.op); k != errs.OK {
			c.result.Kind = k
			return
		}
	}
	ref := objects.DataRef{Len: len(c.data)}
	if len(c.data) > 0 {
		log := append(*s.data.Load(), c.data)
		ref.LSN = uint64(len(log) - 1)
		s.data.Store(&log)
	}
	w := recorder{tx.Writer(c.sub, at), s}
	if c.sub == ids.Namespace {
		c.result.Kind, c.result.Body = namespace.Apply(w, at, c.op)
	} else {
		c.result.Kind, c.result.Body = objects.Apply(w.Writer, at, c.op, ref)
	}
	s.newest = at
}

// recorder remembers the keys of the namespace.
type recorder struct {
	index.Writer
	s *fake
}

func (r recorder) Put(key, value []byte) {
	r.s.known[string(key)] = struct{}{}
	r.Writer.Put(key, value)
}

// hold stops deliveries, and go on again.
func (s *fake) hold(held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = held
	s.changed.Broadcast()
}

func (s *fake) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.changed.Broadcast()
}

// drained waits until everything submitted is delivered.
func (s *fake) drained(ctx context.Context) error {
	if s.pending.Load() == 0 {
		return nil
	}
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.pending.Load() > 0 {
		if ctx.Err() != nil {
			return errs.Wrap(errs.Interrupted, ctx.Err(), "waiting")
		}
		s.changed.Wait()
	}
	return nil
}

func (s *fake) Sync(ctx context.Context) error { s.syncs.Add(1); return s.drained(ctx) }

func (s *fake) Now(ctx context.Context, sub ids.Subgroup) (index.Reader, error) {
	if err := s.drained(ctx); err != nil {
		return nil, err
	}
	return s.index.At(sub, s.index.Newest(sub)), nil
}

func (s *fake) NowReady() bool { return s.pending.Load() == 0 }

func (s *fake) At(ctx context.Context, sub ids.Subgroup, t hlc.Timestamp) (index.Reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case t > s.Physical() && t > s.newest:
		return nil, errs.New(errs.Future, "%v has not come yet", t)
	case t < s.born:
		return nil, errs.New(errs.BeforeBeginning, "the filesystem began at %v", s.born)
	}
	s.clock.Observe(t)
	return s.index.At(sub, t), nil
}

func (s *fake) ReadData(lsn uint64, off int, p []byte) error {
	copy(p, (*s.data.Load())[lsn][off:])
	return nil
}

func (s *fake) History(sub ids.Subgroup, key []byte, fn func(since hlc.Timestamp, value []byte, deleted bool) bool) {
	s.index.History(sub, key, fn)
}

func (s *fake) HistoryKeys(sub ids.Subgroup, from, to []byte, fn func(key []byte) bool) {
	s.mu.Lock()
	keys := slices.Sorted(maps.Keys(s.known))
	s.mu.Unlock()
	for _, k := range keys {
		if strings.Compare(k, string(from)) >= 0 && k < string(to) && !fn([]byte(k)) {
			return
		}
	}
}

func (s *fake) DataShard(ino ids.Ino) ids.Subgroup {
	return ids.Subgroup(1 + uint64(ino)%uint64(s.shards))
}

func (s *fake) TimeOf(v ids.Version) (hlc.Timestamp, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.versions[v]; ok {
		return at, nil
	}
	return 0, errs.New(errs.NotFound, "no version %v", v)
}

func (s *fake) Physical() hlc.Timestamp { return hlc.FromTime(time.Now()) }

func (s *fake) OnApply(fn func(sub ids.Subgroup, origin ids.NodeID, op []byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applied = fn
}

func (s *fake) OnAcknowledge(fn func(sub ids.Subgroup, op []byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked = fn
}

func (s *fake) Vouched() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.vouched
}

func (s *fake) Self() ids.NodeID      { return fakeSelf }
func (s *fake) Incarnation() uint32   { return 1 + s.life }
func (s *fake) Members() []ids.NodeID { return []ids.NodeID{fakeSelf} }
func (s *fake) DataShards() int       { return s.shards }
func (s *fake) Space() Space {
	return Space{TotalBytes: 1 << 40, FreeBytes: 1 << 39, Files: 1000 + 1<<30, FreeFiles: 1 << 30}
}
