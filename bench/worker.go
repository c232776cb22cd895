package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/pprof"
	"sync/atomic"

	"dfs/fabric"
	"dfs/fabric/tcp"
	"dfs/fabric/verbs"
	"dfs/ids"
)

// A worker is a process that holds one member. Its parent tells it what to do, a JSON value a line, and
// it answers each with one line:
//
//	join     the members' addresses; answered when all links are up
//	engine   as join, but the process hosts a whole engine instead; answered when it serves
//	prepare  make the member of a case; answered when peers may write
//	go       measure; answered with the Count. The member goes on serving the others
//	end      the case is over
//
// It ends with its input.

// order is what a parent says.
type order struct {
	Do     string
	Rank   ids.Rank
	Addrs  []string   // join, engine
	Fabric string     // join: tcp or verbs
	Dir    string     // engine: where log and index go
	Raw    bool       // prepare: bare sockets instead of a group
	View   ids.ViewID // prepare: another one for each case
	Load   Load       // prepare
	// Profile is a file for the CPU profile of the counting; empty: none.
	Profile string // go
}

// reply is what a worker answers.
type reply struct {
	Addr  string // the first reply, before any order
	Count Count
	Err   string
}

// worker is the state of Work.
type worker struct {
	rank     ids.Rank
	addrs    []string
	dir      string
	listener net.Listener
	raw      net.Listener // for bare sockets
	fab      fabric.Fabric
	ups      chan struct{}
	current  atomic.Pointer[member]
	bare     *bare
	engine   *engine
	load     Load // of the engine
}

// Work is the whole life of a worker process.
func Work(ctx context.Context, in io.Reader, out io.Writer) error {
	w := &worker{ups: make(chan struct{}, 64)}
	var err error
	if w.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	if w.raw, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	enc := json.NewEncoder(out)
	if err := enc.Encode(reply{Addr: w.listener.Addr().String() + " " + w.raw.Addr().String()}); err != nil {
		return err
	}
	defer w.close()
	orders := json.NewDecoder(in)
	for {
		var o order
		if err := orders.Decode(&o); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		var r reply
		if err := w.obey(ctx, o, &r); err != nil {
			r.Err = err.Error()
		}
		if err := enc.Encode(&r); err != nil {
			return err
		}
	}
}

func (w *worker) close() {
	if w.fab != nil {
		_ = w.fab.Close()
	}
	if w.engine != nil {
		_ = w.engine.close()
	}
}

func (w *worker) obey(ctx context.Context, o order, r *reply) (err error) {
	switch o.Do {
	case "join":
		return w.join(ctx, o)
	case "engine":
		w.rank, w.addrs, w.dir = o.Rank, o.Addrs, o.Dir
		w.engine, err = startEngine(ctx, o.Dir, o.Rank, o.Addrs, w.listener)
		return err
	case "prepare":
		if o.Raw {
			w.bare, err = newBare(o.Load, w.rank, w.addrs, w.raw, w.dir)
			return err
		}
		if w.engine != nil {
			w.load = o.Load
			return nil
		}
		m, err := newMember(o.Load, w.rank, o.View, w.fab)
		if err != nil {
			return err
		}
		w.current.Store(m)
		return nil
	case "go":
		stop, err := profile(o.Profile)
		if err != nil {
			return err
		}
		defer stop()
		if w.bare != nil {
			r.Count, err = w.bare.measure()
			return err
		}
		if w.engine != nil {
			r.Count, err = w.engine.measure(ctx, w.load)
			return err
		}
		m := w.current.Load()
		m.start()
		r.Count, err = m.measure()
		return err
	case "end":
		if w.bare != nil {
			w.bare.close()
			w.bare = nil
		} else if m := w.current.Load(); m != nil {
			m.close()
		}
		return nil
	}
	return fmt.Errorf("unknown order %q", o.Do)
}

// join connects to all others.
func (w *worker) join(ctx context.Context, o order) (err error) {
	w.rank, w.addrs = o.Rank, o.Addrs
	peers := map[ids.NodeID]string{}
	for r, addr := range o.Addrs {
		if ids.Rank(r) != o.Rank {
			peers[node(ids.Rank(r))], _ = splitAddr(addr)
		}
	}
	if err := w.connect(o.Fabric, tcp.Config{
		Self: node(o.Rank), Peers: peers, Listener: w.listener,
		Events: fabric.Events{
			Up: func(ids.NodeID) { w.ups <- struct{}{} },
			Wake: func() {
				if m := w.current.Load(); m != nil {
					m.bell.Ring()
				}
			},
			Drained: func() {
				if m := w.current.Load(); m != nil {
					m.answer()
				}
			},
		},
	}); err != nil {
		return err
	}
	for range peers {
		select {
		case <-w.ups:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// connect starts the fabric that a name stands for.
func (w *worker) connect(name string, cfg tcp.Config) error {
	if name == "verbs" {
		f, err := verbs.New(verbs.Config{TCP: cfg, Mode: verbs.Required})
		if err != nil {
			return err
		}
		w.fab = f
		f.Start()
		return nil
	}
	f, err := tcp.New(cfg)
	if err != nil {
		return err
	}
	w.fab = f
	f.Start()
	return nil
}

// profile writes the CPU profile of what happens until stop is called to a file, if it has a name.
func profile(name string) (stop func(), err error) {
	if name == "" {
		return func() {}, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { pprof.StopCPUProfile(); _ = f.Close() }, nil
}
