package node

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"dfs/advice"
	"dfs/control"
	"dfs/errs"
	"dfs/fusefs"
	"dfs/ids"
	"dfs/namespace"
	"dfs/nvm"
	"dfs/shards"
	"dfs/versionlog"
)

// Options are what Run needs beside the configuration.
type Options struct {
	Program string                              // version of the program, for the status
	Clock   func() time.Time                    // nil: time.Now
	Logger  func(level slog.Level) *slog.Logger // nil: nothing is logged
	Ready   func(c Config)                      // called once when the node serves; c has all defaults
}

// Times of a start and a stop.
const (
	quietStart = 3 * time.Second        // a start that takes longer is explained in the log
	lastSync   = 500 * time.Millisecond // what a stop waits for other nodes to persist
)

// Run is one node of a cluster, from start to end: it returns nil after an orderly stop, which the end of ctx or
// an unmount asks for. The process is its own: it sets the memory limit and the number of threads that run Go code.
func Run(ctx context.Context, c Config, o Options) error {
	c = c.withDefaults()
	limitMemory(c.Memory, os.Getenv)
	if c.Mount != "" {
		spreadReaders(os.Getenv)
	}
	if ready := o.Ready; ready != nil {
		var once sync.Once
		o.Ready = func(c Config) { once.Do(func() { ready(c) }) }
	}
	for {
		err := run(ctx, c, o)
		var cut *shards.CutError
		if !errors.As(err, &cut) || ctx.Err() != nil {
			return err
		}
		if err := cutLog(c.Data, cut.After); err != nil {
			return errs.Wrap(errs.KindOf(err), err, "cutting the log after version %v", cut.After)
		}
	}
}

// run is one life of the node.
func run(ctx context.Context, c Config, o Options) error {
	listener, err := preflight(c)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	n := &instance{cfg: c, program: o.Program, clock: o.Clock, stop: stop, phase: control.Starting, farewells: make(chan farewell), news: make(chan struct{}, 1)}
	if n.clock == nil {
		n.clock = time.Now
	}
	n.began = n.clock()
	n.log = slog.New(slog.DiscardHandler)
	if o.Logger != nil {
		n.log = o.Logger(c.level())
	}
	if err := n.open(listener); err != nil {
		return n.adviseDamage(err)
	}
	err = n.serve(ctx, o.Ready)
	return n.adviseDamage(errors.Join(err, n.close()))
}

// cutLog takes off what only this node has of the past, because the others started again without it. The index goes
// first: it may have what is cut, and is made again from the log.
func cutLog(data string, after ids.Version) error {
	d := DataDir{Path: data}
	if err := os.RemoveAll(d.Index()); err != nil {
		return errs.Wrap(errs.IO, err, "remove the index")
	}
	dir, err := nvm.OpenOS(d.Segments())
	if err != nil {
		return err
	}
	return versionlog.Cut(versionlog.Config{Dir: dir}, after)
}

// adviseDamage says what to do about stored data that fails verification.
func (n *instance) adviseDamage(err error) error {
	if !errors.Is(err, errs.Corrupt) || advice.Of(err) != "" {
		return err
	}
	if n.roster == nil || len(n.roster.others()) == 0 {
		return advice.Add(err, "dfs check --data %s   (then restore it from a backup)", advice.Quote(n.cfg.Data))
	}
	return advice.Add(err, "move %s away and start this node again: it gets everything from the others", advice.Quote(n.cfg.Data))
}

// serve runs engine and mount until ctx ends, somebody unmounts, or one of them fails.
func (n *instance) serve(ctx context.Context, ready func(Config)) error {
	n.log.Info("starting", "data", n.data.Path, "incarnation", n.data.Incarnation)
	engineCtx, stopEngine := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	n.engine.Start(n.fab)
	n.fab.Start()
	go func() {
		ended <- n.engine.Run(engineCtx)
		close(ended) // who asks again hears that it is over
	}()
	go n.space.watch(engineCtx)
	go calmMonitor(engineCtx, func() uint64 { return uint64(n.vlog.End()) }, nap)
	if n.admission != nil {
		n.background.Go(func() { n.usherAll(engineCtx) })
		n.background.Go(func() { n.inquire(engineCtx) })
	}
	defer func() {
		stopEngine()
		<-ended
	}()
	n.quit = func() { n.hangUp(stopEngine, ended) }
	n.mu.Lock()
	n.phase, n.ready = control.Waiting, true
	n.mu.Unlock()

	if err := n.begin(ctx, ended); err != nil {
		if ctx.Err() != nil && errors.Is(err, errs.Interrupted) {
			return nil // stopped while it waited for others
		}
		return err
	}
	server, err := n.mount()
	if err != nil {
		return err
	}
	n.setPhase(control.Serving)
	n.log.Info("serving", "mount", n.cfg.Mount)
	if ready != nil {
		ready(n.cfg)
	}
	left, err := n.attend(ctx, &server, ended)
	if err != nil {
		n.setPhase(control.Failed)
		n.unmount(server)
		return adviseDisk(errs.Wrap(errs.KindOf(err), err, "this node cannot go on"), n.data.Path)
	}
	n.setPhase(control.Stopping)
	n.log.Info("stopping")
	n.unmount(server)
	if !left {
		n.settle()
	}
	return nil
}

// attend waits for the end of a node that serves: ctx ends, somebody unmounts, it leaves the cluster, or the engine
// fails, which is the error.
func (n *instance) attend(ctx context.Context, server **fusefs.Server, ended <-chan error) (left bool, err error) {
	for {
		var unmounted <-chan struct{}
		if *server != nil {
			unmounted = (*server).Done()
		}
		select {
		case <-ctx.Done():
			return false, nil
		case <-unmounted:
			n.log.Warn("the filesystem was unmounted; stopping")
			return false, nil
		case err := <-ended:
			return false, err
		case f := <-n.farewells:
			stopped, err := n.leave(f.ctx, server)
			f.done <- err
			if stopped {
				return true, err
			}
			n.log.Warn("could not leave the cluster", "reason", err)
		}
	}
}

// begin waits until the node is in a view and the filesystem exists. errs.Interrupted when ctx ended first.
func (n *instance) begin(ctx context.Context, ended <-chan error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	failure := make(chan error, 1)
	go func() {
		select {
		case err := <-ended:
			failure <- err
			cancel(err)
		case <-ctx.Done():
			close(failure)
		}
	}()
	explain := time.AfterFunc(quietStart, n.explain)
	defer explain.Stop()
	err := n.initialize(ctx)
	cancel(nil)
	if fatal, ok := <-failure; ok {
		return adviseDisk(errs.Wrap(errs.KindOf(fatal), fatal, "this node cannot start"), n.data.Path)
	}
	return err
}

// initialize makes the root directory, which does nothing where there is one. It is delivered once all members
// are there, so it also tells that they are.
func (n *instance) initialize(ctx context.Context) error {
	root := namespace.Init{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	call, err := n.engine.Submit(ctx, ids.Namespace, root.Encode())
	if err != nil {
		return err
	}
	result, err := call.Wait(ctx)
	if err == nil && result.Kind != errs.OK {
		err = errs.New(result.Kind, "making the root directory: %v", result.Kind)
	}
	return err
}

// explain says in the log what a long start waits for.
func (n *instance) explain() {
	n.log.Warn("waiting", "reason", n.waitingFor())
}

// unmount takes the mount away; who still uses it keeps it until they let go or the process ends.
func (n *instance) unmount(server *fusefs.Server) {
	if server == nil {
		return
	}
	err := server.Unmount(false)
	if errors.Is(err, errs.Busy) {
		n.log.Warn("the mount is in use; detaching it", "mount", n.cfg.Mount)
		n.inUse = true
		err = server.Unmount(true)
	}
	if err != nil {
		n.log.Error("unmount failed", "mount", n.cfg.Mount, "err", err)
	}
}

// settle gives the other nodes a moment to persist what this one did. Whether they do or not, its own log has
// all of it.
func (n *instance) settle() {
	ctx, cancel := context.WithTimeout(context.Background(), lastSync)
	defer cancel()
	if err := n.engine.Sync(ctx); err != nil {
		n.log.Info("stopped before all nodes had persisted everything", "err", err)
	}
}
