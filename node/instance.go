package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"dfs/control"
	"dfs/errs"
	"dfs/fusefs"
	"dfs/hlc"
	"dfs/identity"
	"dfs/ids"
	"dfs/index"
	"dfs/nvm"
	"dfs/shards"
	"dfs/versionlog"
	"dfs/views"

	"golang.org/x/sys/unix"
)

// instance is a node in one of its lives. What it is made of is set by open and does not change after that, except
// where a lock says so.
type instance struct {
	cfg     Config
	program string
	log     *slog.Logger
	clock   func() time.Time
	began   time.Time
	stop    context.CancelFunc // begins the orderly stop

	data      *DataDir
	vlog      *versionlog.Log
	index     *index.Index
	space     *space
	links     *links
	roster    *roster
	creds     *identity.Credentials // nil where the cluster has no authority
	admission *admission            // nil likewise
	engine    *shards.Node
	store     *store
	fab       network
	storage   string // what the log is kept on, in words

	// background are short works that close waits for.
	background sync.WaitGroup

	peersMu sync.Mutex
	peers   map[ids.NodeID]string // whom the fabric connects with; guarded by peersMu

	leads atomic.Bool   // this node is the first member of the view
	news  chan struct{} // there may be somebody to bring in

	// quit stops the engine and closes the links; only the goroutine that serves calls it.
	quit func()
	// farewells are taken by the goroutine that serves.
	farewells chan farewell

	// closers undo what open did, last first (ND4).
	closers []closer
	// inUse says that a detached mount still has users. Their reads are answered until the process ends, so log
	// and index are made durable but stay open.
	inUse bool

	mu    sync.Mutex
	phase control.Phase               // guarded by mu
	seen  map[ids.NodeID]views.Member // members of views so far; used while the engine steps only
	ready bool                        // the engine may be asked for its status; guarded by mu
}

// closer is one step of taking a node apart.
type closer struct {
	name string
	run  func() error
}

func (n *instance) onClose(name string, run func() error) {
	n.closers = append(n.closers, closer{name, run})
}

// close takes the node apart, and returns everything that went wrong.
func (n *instance) close() error {
	var all []error
	for len(n.closers) > 0 {
		last := n.closers[len(n.closers)-1]
		n.closers = n.closers[:len(n.closers)-1]
		if err := last.run(); err != nil {
			all = append(all, errs.Wrap(errs.KindOf(err), err, "%s", last.name))
		}
	}
	return errors.Join(all...)
}

func (n *instance) setPhase(p control.Phase) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.phase = p
}

// open puts the node together up to the engine, which does not run yet. On failure it leaves nothing behind.
func (n *instance) open(listener net.Listener) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if listener != nil {
		n.onClose("listener", func() error {
			if n.fab != nil {
				return nil // the fabric has it
			}
			return listener.Close()
		})
	}
	if n.data, err = OpenDataDir(n.cfg); err != nil {
		return err
	}
	n.onClose("data directory", n.data.Close)
	n.log = n.log.With("node", n.cfg.ID)
	if err := n.openIdentity(); err != nil {
		return err
	}
	server, err := control.Serve(n.data.Path, n.answer)
	if err != nil {
		return err
	}
	n.onClose("control socket", server.Close)
	if err := n.openStorage(); err != nil {
		return adviseDisk(err, n.data.Path)
	}
	return n.openEngine(listener)
}

// openIdentity reads who this node is and who the others are.
func (n *instance) openIdentity() (err error) {
	if n.roster, err = newRoster(n.data.Path, n.cfg.ID, n.data.whose.nodes(), n.cfg.addresses()); err != nil {
		return err
	}
	n.links = newLinks(n.roster.others)
	if n.creds, err = loadCredentials(n.data.Path, n.clock); err != nil || n.creds == nil {
		return err
	}
	if n.cfg.Listen == "" {
		err := errs.New(errs.Invalid, "configuration: listen: a node of cluster %q needs an address to listen on", n.cfg.Cluster)
		return adviseConfig(err)
	}
	if err := saveCertificate(n.data.Path, n.creds.Certificate().Raw); err != nil { // it may have been renewed
		return err
	}
	n.admission = &admission{
		creds: n.creds, roster: n.roster, listen: n.cfg.Listen, shards: n.data.Shards, replicas: n.data.Replicas,
		insecure: n.data.whose.Insecure, clock: n.clock, log: n.log, change: n.changeConfig, apply: n.inOrder,
		claims: func() index.Reader { return n.index.At(ids.Namespace, hlc.Latest) },
		runs:   func(id ids.NodeID) bool { return id == n.cfg.ID || n.links.connected(id) },
		busy:   make(chan struct{}, maxJoins),
	}
	return nil
}

// openStorage opens log and index.
func (n *instance) openStorage() error {
	dir, how, err := nvm.OpenBest(n.data.Segments())
	if err != nil {
		return err
	}
	n.storage = how
	if n.vlog, err = versionlog.Open(versionlog.Config{Dir: dir}); err != nil {
		return err
	}
	n.onClose("log", func() error {
		_, err := n.vlog.Sync()
		if n.inUse {
			return err
		}
		return errors.Join(err, n.vlog.Close())
	})
	kv, err := index.OpenPebble(n.data.Index(), index.PebbleConfig{
		BeforeFlush: func() error { _, err := n.vlog.Sync(); return err },
	})
	if err != nil {
		return err
	}
	n.index = index.New(kv, index.Config{})
	n.onClose("index", func() error {
		err := n.index.Flush()
		if n.inUse {
			return err
		}
		return errors.Join(err, n.index.Close())
	})
	n.space, err = newSpace(n.data.Path)
	return err
}

// openEngine recovers the state from log and index, and connects to the other nodes.
func (n *instance) openEngine(listener net.Listener) error {
	state, durable, err := n.data.openView()
	if err != nil {
		return err
	}
	n.onClose("view state", state.close)
	n.seen = map[ids.NodeID]views.Member{}
	for _, m := range durable.View.Members {
		n.seen[m.Node] = m
	}
	floor, latest, err := n.data.openFloor()
	if err != nil {
		return err
	}
	n.onClose("floor", floor.close)
	if len(durable.View.Nodes) > 0 {
		n.adopt(durable.View.Nodes)
	}
	n.engine, err = shards.New(shards.Config{
		Self: views.Member{Node: n.cfg.ID, Incarnation: n.data.Incarnation}, Nodes: n.roster.configured(), Shards: n.data.Shards,
		Replicas: n.data.Replicas,
		Log:      n.vlog, Index: n.index, Durable: durable, Floor: latest,
		OnView: n.follow, SaveState: state.save, SaveFloor: floor.save,
		Physical: n.physical, Monotonic: sinceBoot, Soft: time.Duration(n.cfg.Soft), Full: n.space.full, Logger: n.log,
	})
	if err != nil {
		return err
	}
	n.engine.OnApply(n.heed)
	n.store = newStore(n.engine, n.index, n.space, n.data.Incarnation)
	if n.fab, err = n.connect(listener, n.engine.Events()); err != nil {
		return err
	}
	n.onClose("network", func() error {
		if n.creds != nil {
			<-time.After(lastWords) // what goes through TLS is sent by another goroutine
		}
		return n.fab.Close()
	})
	n.onClose("roster", func() error {
		n.background.Wait()
		return nil
	})
	return nil
}

// sinceBoot is the time since the machine was started; it goes on while the machine sleeps, so a lease does not
// outlast the sleep (clock_gettime(2)).
func sinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic(err) // it has been there since Linux 2.6.39
	}
	return time.Duration(t.Nano())
}

func (n *instance) physical() hlc.Timestamp { return hlc.FromTime(n.clock()) }

func (n *instance) skew() time.Duration { return time.Duration(n.cfg.MaxSkew) }

// hello is what this node says to others now.
func (n *instance) hello() hello {
	h := hello{Format: Format, Cluster: n.cfg.Cluster, Shards: n.data.Shards, Replicas: n.data.Replicas, Clock: n.physical(), Authority: n.data.whose.Authority}
	if h.Authority == "" {
		h.Members = n.data.whose.Members
	}
	return h
}

// mount mounts the filesystem, if it is to be mounted.
func (n *instance) mount() (*fusefs.Server, error) {
	if n.cfg.Mount == "" {
		return nil, nil
	}
	return fusefs.Mount(fusefs.Config{
		MountPoint: n.cfg.Mount, Store: n.store, Source: n.data.Path, Strict: n.cfg.Consistency == Strict,
		AllowOther: *n.cfg.AllowOther, Suid: n.cfg.Suid, Dev: n.cfg.Dev, Logger: n.log,
	})
}

// limitMemory makes the garbage collector work harder as the process comes near the limit. A limit from the
// environment (GOMEMLIMIT) wins.
func limitMemory(limit Size, getenv func(string) string) {
	if getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(limit))
	}
}

// spreadReaders lets the Go scheduler run as many threads more as wait for requests of the kernel, one for the sync of
// the log, and one for calmMonitor: it counts who waits in a system call as busy until it looks after some time, and
// meanwhile what comes from other nodes would wait. On two processors a call through the mount took a quarter less of their time with it.
func spreadReaders(getenv func(string) string) {
	if getenv("GOMAXPROCS") == "" {
		runtime.SetDefaultGOMAXPROCS() // so that doing this twice changes nothing
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + fusefs.Readers() + 2)
	}
}
