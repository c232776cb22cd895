package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"dfs/errs"
	"dfs/fabric/tcp"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
	"dfs/nvm"
	"dfs/objects"
	"dfs/shards"
	"dfs/versionlog"
	"dfs/views"
)

// engine is a whole node without its mount: rings, order, log on disk, index, state machines.
type engine struct {
	rank    ids.Rank
	node    *shards.Node
	fab     *tcp.Fabric
	vlog    *versionlog.Log
	index   *index.Index
	stop    context.CancelFunc
	ended   chan error
	applied atomic.Uint64 // operations, of all members
}

// dataShards is how many data shards the engines have.
const dataShards = 4

// startEngine starts the member at rank and waits for the first view.
func startEngine(ctx context.Context, dir string, rank ids.Rank, addrs []string, l net.Listener) (e *engine, err error) {
	e = &engine{rank: rank, ended: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if err := e.open(filepath.Join(dir, fmt.Sprintf("member%d", rank+1))); err != nil {
		return e, err
	}
	var nodes []views.Peer
	peers := map[ids.NodeID]string{}
	for r, addr := range addrs {
		id := node(ids.Rank(r))
		if nodes = append(nodes, views.Peer{Node: id, Addr: addr}); ids.Rank(r) != rank {
			peers[id], _ = splitAddr(addr)
		}
	}
	e.node, err = shards.New(shards.Config{
		Self: views.Member{Node: node(rank), Incarnation: 1}, Nodes: nodes, Shards: dataShards,
		Log: e.vlog, Index: e.index, SaveState: func(views.Durable) error { return nil },
		Physical: func() hlc.Timestamp { return hlc.FromTime(time.Now()) },
	})
	if err != nil {
		return e, err
	}
	e.node.OnApply(func(ids.Subgroup, ids.NodeID, []byte) { e.applied.Add(1) })
	if e.fab, err = tcp.New(tcp.Config{Self: node(rank), Peers: peers, Listener: l, Events: e.node.Events()}); err != nil {
		return e, err
	}
	var life context.Context
	life, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	e.node.Start(e.fab)
	e.fab.Start()
	go func() { e.ended <- e.node.Run(life) }()
	_, err = e.node.Now(ctx, ids.Namespace)
	return e, err
}

func (e *engine) open(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	segments, err := nvm.OpenOS(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	if e.vlog, err = versionlog.Open(versionlog.Config{Dir: segments}); err != nil {
		return err
	}
	kv, err := index.OpenPebble(filepath.Join(dir, "index"), index.PebbleConfig{
		BeforeFlush: func() error { _, err := e.vlog.Sync(); return err },
	})
	if err != nil {
		return err
	}
	e.index = index.New(kv, index.Config{})
	return nil
}

// close ends the engine. What it stored is the caller's to remove.
func (e *engine) close() error {
	var all []error
	if e.stop != nil {
		e.stop()
		all = append(all, <-e.ended)
	}
	if e.fab != nil {
		all = append(all, e.fab.Close())
	}
	if e.index != nil {
		all = append(all, e.index.Close())
	}
	if e.vlog != nil {
		all = append(all, e.vlog.Close())
	}
	return errors.Join(all...)
}

// session is one case on a member.
type session struct {
	e        *engine
	load     Load
	counting atomic.Bool
	ctx      context.Context
	mu       sync.Mutex
	latency  Histogram // guarded by mu
	err      error     // guarded by mu; the first
	clients  sync.WaitGroup
}

// measure has the clients of this member write, and counts what is applied here.
func (e *engine) measure(ctx context.Context, load Load) (c Count, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s := &session{e: e, load: load, ctx: ctx}
	if int(e.rank) < load.Senders {
		for k := range load.Clients {
			s.clients.Go(func() {
				if load.Window > 1 {
					s.pipeline(k)
				} else {
					s.closed(k)
				}
			})
		}
	}
	pause(load.WarmUp)
	s.counting.Store(true)
	cpu, start, before := cpuTime(), time.Now(), e.applied.Load()
	pause(load.Time)
	c = Count{Delivered: e.applied.Load() - before, Elapsed: time.Since(start), CPU: cpuTime() - cpu}
	s.counting.Store(false)
	stop()
	s.clients.Wait()
	c.Latency, err = s.latency, s.err
	return c, err
}

func pause(d time.Duration) { <-time.After(d) }

// end notes how a client ended. That measuring ended is no error.
func (s *session) end(latency *Histogram, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latency.Merge(latency)
	if err != nil && s.err == nil && s.ctx.Err() == nil {
		s.err = err
	}
}

// extent is the part of its file that a client overwrites.
const extent = 1 << 20

// submit writes somewhere in the client's file.
func (s *session) submit(rng *rand.Rand, client int, payload []byte) (*shards.Call, error) {
	ino := ids.Ino(1000 + 100*int(s.e.rank) + client)
	slots := max(extent/len(payload), 1)
	op := objects.Write{Ino: ino, Off: int64(rng.IntN(slots) * len(payload))}
	return s.e.node.Submit(s.ctx, s.e.node.DataShard(ino), op.Encode(), payload)
}

// wait waits until the write is received by all or, with Sync, persisted by all.
func (s *session) wait(call *shards.Call) error {
	r, err := call.Wait(s.ctx)
	if err == nil && r.Kind != errs.OK {
		err = errs.New(r.Kind, "write: %v", r.Kind)
	}
	if err == nil && s.load.Sync {
		err = s.e.node.Sync(s.ctx)
	}
	return err
}

// closed writes one after the other.
func (s *session) closed(client int) {
	var latency Histogram
	rng, payload := rand.New(rand.NewPCG(1, uint64(client))), make([]byte, s.load.Size)
	for {
		count, start := s.counting.Load(), time.Now()
		call, err := s.submit(rng, client, payload)
		if err == nil {
			err = s.wait(call)
		}
		if err != nil {
			s.end(&latency, err)
			return
		}
		if count {
			latency.Add(time.Since(start))
		}
	}
}

// pipeline has Window writes under way.
func (s *session) pipeline(client int) {
	type sent struct {
		call  *shards.Call
		start time.Time
		count bool
	}
	under, over := make(chan sent, s.load.Window-1), make(chan struct{})
	var latency Histogram
	var failed error
	go func() {
		defer close(over)
		for w := range under {
			if failed == nil {
				failed = s.wait(w.call)
			}
			if failed == nil && w.count {
				latency.Add(time.Since(w.start))
			}
		}
	}()
	rng, payload := rand.New(rand.NewPCG(1, uint64(client))), make([]byte, s.load.Size)
	for s.ctx.Err() == nil {
		w := sent{start: time.Now(), count: s.counting.Load()}
		var err error
		if w.call, err = s.submit(rng, client, payload); err != nil {
			s.end(&Histogram{}, err)
			break
		}
		under <- w
	}
	close(under)
	<-over
	s.end(&latency, failed)
}
