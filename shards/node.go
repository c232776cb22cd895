package shards

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"dfs/errs"
	"dfs/fabric"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
	"dfs/record"
	"dfs/sst"
	"dfs/versionlog"
	"dfs/views"
)

// Config is what a Node is made of. The owner opened the log and the index; the Node does not close them.
type Config struct {
	Self   views.Member
	Nodes  []views.Peer // the configured nodes of the cluster; a persisted view knows better
	Shards int          // data shards, at least 1; the same at every member, for ever
	// Replicas is how many nodes keep the data of a shard, the same at every member, for ever; 0 means DefaultReplicas.
	Replicas int
	Log      Log
	Index    *index.Index
	Durable  views.Durable // what SaveState saved last
	Floor    hlc.Timestamp // what SaveFloor saved last

	SaveState func(views.Durable) error  // persist before returning
	SaveFloor func(hlc.Timestamp) error  // survive the end of the process; may be nil
	OnView    func(views.View)           // a view was installed; called by whoever steps, must not block; may be nil
	Physical  func() hlc.Timestamp       // the wall clock
	Monotonic func() time.Duration       // a clock that nobody sets; nil: that of the Go runtime
	Work      func(fn func())            // have fn run soon, beside the steps; nil: by goroutines
	Sync      func()                     // have Log.Sync called soon, then Synced; nil: Run does it
	Full      func(recordBytes int) bool // refuse new data: the disk is nearly full; nil: never
	Logger    *slog.Logger

	RingBytes int           // each member's ring at each other, a power of two; 0 means 16 MiB
	Heartbeat time.Duration // at least so often the row is pushed; 0 means 250 ms
	SyncAfter time.Duration // what nobody waits for is persisted after this; 0 means 50 ms
	// SuspectAfter is how long a peer may be silent, as long as this node itself is not held up, before it is taken to
	// be gone; 0 means 2 s. LeaseFor is how long after a sign of life that the others have answered this node may
	// answer reads of the present; 0 means a quarter of SuspectAfter, but two heartbeats at least.
	SuspectAfter time.Duration
	LeaseFor     time.Duration
	Soft         time.Duration // when no view is open for so long, calls fail until there is one; 0: they wait
	Grace        time.Duration // a start waits so long for nodes that it can do without; 0 means 1 s
}

// Log is what a Node needs of the versioned log; *versionlog.Log is one.
type Log interface {
	Append(recs []record.Record) ([]versionlog.LSN, error)
	Sync() (versionlog.LSN, error)
	End() versionlog.LSN
	Scan(from versionlog.LSN, fn func(versionlog.LSN, record.Record) error) error
	ReadData(lsn versionlog.LSN, off int, p []byte) error
	Version(lsn versionlog.LSN) (ids.Version, error)
	Head(lsn versionlog.LSN) (record.Record, error)
	Record(lsn versionlog.LSN) (record.Record, error)
	Heads(from versionlog.LSN, fn func(versionlog.LSN, record.Record) error) error
	Find(v ids.Version) (versionlog.LSN, error)
	Repair(lsn versionlog.LSN, rec record.Record) error
	Locate(v ids.Version) (versionlog.LSN, ids.Version)
	FindVersion(v ids.Version, of func(ids.Subgroup) bool) (hlc.Timestamp, bool, error)
}

func (c Config) withDefaults() Config {
	if c.Replicas == 0 {
		c.Replicas = DefaultReplicas
	}
	if c.RingBytes == 0 {
		c.RingBytes = 16 << 20
	}
	if c.Heartbeat == 0 {
		c.Heartbeat = 250 * time.Millisecond
	}
	if c.SyncAfter == 0 {
		c.SyncAfter = 50 * time.Millisecond
	}
	if c.SuspectAfter == 0 {
		c.SuspectAfter = 2 * time.Second
	}
	if c.LeaseFor == 0 {
		c.LeaseFor = max(c.SuspectAfter/4, 2*c.Heartbeat)
	}
	if c.Grace == 0 {
		c.Grace = time.Second
	}
	if c.Monotonic == nil {
		start := time.Now()
		c.Monotonic = func() time.Duration { return time.Since(start) }
	}
	if c.OnView == nil {
		c.OnView = func(views.View) {}
	}
	if c.SaveFloor == nil {
		c.SaveFloor = func(hlc.Timestamp) error { return nil }
	}
	if c.Full == nil {
		c.Full = func(int) bool { return false }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Node hosts the replicas of one node. Step does all of its work; Run calls Step when something
// happened. Every other exported method may be called by any goroutine.
type Node struct {
	cfg    Config
	log    *slog.Logger
	bell   *fabric.Doorbell
	kick   chan struct{} // asks the syncing goroutine of Run
	alarm  *time.Timer   // rings when something has waited for a sync long enough; nil without Run
	opener *time.Timer   // rings when a view may open; nil without Run
	fatal  chan error

	// Owned by Step.
	fab          fabric.Fabric
	core         *views.Core
	clock        hlc.Clock
	view         *activeView
	orders       []*order
	origins      map[ids.NodeID]origin
	savedOrigins int // how many of them the index knows
	subs         []SubgroupStatus
	fetching     *fetch
	asked        []fetchRequest // to be answered when the log here is complete
	served       map[ids.NodeID]fetchPlace
	repairs      map[ids.Version]*repairs
	peers        peers
	opening      bool          // all members have installed the view; it is opened when the leases on the last one are over
	lastOpen     time.Duration // when a view was seen to be open last
	full         bool          // the own disk has no room for new data
	whole        bool          // all data that the view's layouts give this node is here, durably
	changes      []*Change     // Reconfigure waits for them
	events       []event       // being handled
	beat         hlc.Timestamp // the last heartbeat
	syncing      bool          // a sync was asked for and has not ended
	hot          hlc.Timestamp // until then every delivery is synced at once: someone is calling fsync
	asking       hlc.Timestamp // until then someone here is
	applied      appliedMark
	homes        homes    // of data, by the layouts of the last view
	aims         homes    // of data, by those of the view that this node fetches for
	lacks        []lack   // by subgroup
	fill         *filling // what is lacking is being got
	fillNumber   uint64   // of the last request for it
	filledEnd    versionlog.LSN
	durable      versionlog.LSN // of the log
	wantWhole    bool           // a sync will tell whether this node is whole
	reads        []*unitRead    // being answered by others
	readNumber   uint64
	parts        []part
	onApply      []func(sub ids.Subgroup, origin ids.NodeID, op []byte)
	onAck        func(sub ids.Subgroup, op []byte)

	units   units
	workers workers

	failed     atomic.Pointer[error]
	bornAt     atomic.Int64                 // applied.born, for others
	lease      atomic.Int64                 // of Monotonic: until then the present may be read here
	configured atomic.Pointer[[]views.Peer] // of the last view
	low        atomic.Bool                  // some member's disk has no room for new data

	// mu guards what the methods for other goroutines share with Step. Nothing else is locked while
	// it is held.
	mu       sync.Mutex
	inbox    []event
	building int           // reservations being filled
	built    *sync.Cond    // building became 0
	room     chan struct{} // closed and replaced when there may be room, a view, or the end
	closed   bool
	hopeless bool // no view was open for Config.Soft
	waiters  []*waiter
	held     []heldAnswer
	floor    hlc.Timestamp // moments up to here may have been answered about
}

// activeView is the view that this node is in.
type activeView struct {
	views.View
	rank   ids.Rank
	table  *sst.Table
	snap   *sst.Snapshot
	homes  homes             // of data, by the configured and by the settled nodes
	open   bool              // every member has its regions registered
	trim   bool              // the trim was delivered
	unsure bool              // see views.Effect
	sent   [64]time.Duration // when the own heartbeats were sent, by number modulo 64
	heard  []uint64          // the last heartbeat of each member that was seen
}

// event is something that happened outside of Step.
type event struct {
	kind eventKind
	peer ids.NodeID
	msg  []byte
	lsn  versionlog.LSN
	err  error

	status chan<- Status
	change *Change
	repair *repair
	unit   *unitRead
	fill   *filling
	found  found
	place  *fetchPlace
}

type eventKind int

const (
	peerUp eventKind = iota
	peerDown
	peerMessage
	logSynced
	statusAsked
	changeAsked
	repairAsked
	readAsked
	lackFound
	answerMade
)

// New recovers the state from the log and returns a node that knows no peers yet: give Events to a
// fabric, then call Start.
func New(cfg Config) (*Node, error) {
	n := &Node{
		cfg: cfg.withDefaults(), bell: fabric.NewDoorbell(), kick: make(chan struct{}, 1), fatal: make(chan error, 1),
		room: make(chan struct{}), origins: map[ids.NodeID]origin{}, served: map[ids.NodeID]fetchPlace{},
		repairs: map[ids.Version]*repairs{},
	}
	n.subs = make([]SubgroupStatus, n.cfg.Shards+1)
	n.built = sync.NewCond(&n.mu)
	n.configured.Store(&n.cfg.Nodes)
	if nodes := cfg.Durable.View.Nodes; nodes != nil {
		n.configured.Store(&nodes)
	}
	n.log = n.cfg.Logger
	// So that an answer to an earlier life, which a source may send over the next link, is none to this one.
	n.readNumber = uint64(n.cfg.Self.Incarnation) << 32
	n.fillNumber = n.readNumber
	n.peers = newPeers(n.cfg.Monotonic())
	layout := NewLayout(n.cfg.Shards)
	for g, l := range layout.Groups {
		n.orders = append(n.orders, newOrder(ids.Group(g), l))
	}
	n.clock.Observe(n.cfg.Floor)
	n.floor = n.cfg.Floor
	if n.cfg.Work == nil {
		n.cfg.Work = n.workers.do
	}
	n.homes = newHomes(cfg.Durable.View.Layouts(), n.cfg.Shards, n.cfg.Replicas)
	if err := n.recover(); err != nil {
		return nil, err
	}
	n.whole = cfg.Durable.View.ID > 0 && !n.lacksAny(&n.homes)
	n.core = views.New(views.Config{
		Self: n.cfg.Self, Nodes: n.cfg.Nodes, Durable: n.cfg.Durable, Ends: n.ends, Grace: n.cfg.Grace,
		Keepers: n.keepers, Full: n.fullUpTo,
	})
	return n, nil
}

// Events is what the fabric of this node must call.
func (n *Node) Events() fabric.Events {
	return fabric.Events{
		Up:      func(p ids.NodeID) { n.post(event{kind: peerUp, peer: p}) },
		Down:    func(p ids.NodeID, err error) { n.post(event{kind: peerDown, peer: p, err: err}) },
		Message: func(p ids.NodeID, msg []byte) { n.post(event{kind: peerMessage, peer: p, msg: msg}) },
		Wake:    n.notify,
		Drained: func() { n.bell.Answer(n.Step, stepsAtHand) },
	}
}

// stepsAtHand is how often a goroutine that is not the node's own steps in one go.
const stepsAtHand = 2

// Start begins to look for the first view over the fabric.
func (n *Node) Start(f fabric.Fabric) {
	n.fab = f
	n.carryOut(n.core.Start(n.cfg.Monotonic()))
	n.fab.Flush()
	n.notify()
}

// Synced says that a sync of the log ended: everything below lsn is durable, or err.
func (n *Node) Synced(lsn versionlog.LSN, err error) {
	n.post(event{kind: logSynced, lsn: lsn, err: err})
}

func (n *Node) post(e event) {
	n.enqueue(e)
	n.notify()
}

func (n *Node) enqueue(e event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.inbox = append(n.inbox, e)
}

// Woken reports whether something happened since it was asked last, so that Step has work: for those who call
// Step themselves. Step is due at every half Heartbeat too.
func (n *Node) Woken() bool { return n.bell.Rung() }

// notify says that there is something for Step to do.
func (n *Node) notify() { n.bell.Ring() }

// Run has the node stepped until ctx ends or it fails, and returns nil in the first case. Most steps are taken by
// the goroutines of the fabric and of callers; Run takes what they leave, and the heartbeat. Nobody steps
// before it is called or after it returned.
func (n *Node) Run(ctx context.Context) error {
	var syncer sync.WaitGroup
	stop := make(chan struct{})
	if n.cfg.Sync == nil {
		n.cfg.Sync = func() {
			select {
			case n.kick <- struct{}{}:
			default:
			}
		}
		syncer.Go(func() {
			for {
				select {
				case <-n.kick:
					lsn, err := n.cfg.Log.Sync()
					n.enqueue(event{kind: logSynced, lsn: lsn, err: err})
					n.bell.Answer(n.Step, stepsAtHand)
				case <-stop:
					return
				}
			}
		})
	}
	defer func() {
		close(stop)
		syncer.Wait()
		n.workers.end()
		n.Close()
	}()
	beat := time.NewTicker(n.cfg.Heartbeat / 2)
	defer beat.Stop()
	n.alarm = time.AfterFunc(n.cfg.SyncAfter, n.notify)
	defer n.alarm.Stop()
	n.opener = time.AfterFunc(n.cfg.Heartbeat, n.notify)
	defer n.opener.Stop()
	n.bell.Work(n.Step)
	for {
		select {
		case <-ctx.Done():
			n.bell.Stop()
			n.goodbye()
			return nil
		case err := <-n.fatal:
			n.bell.Stop()
			return err
		case <-n.bell.Duty():
			n.bell.Work(n.Step)
		case <-beat.C:
			n.notify()
		}
	}
}

// Close ends all waiting: nothing is submitted any more.
func (n *Node) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	n.closed = true
	gone := errs.New(errs.Unavailable, "the node was stopped")
	for _, o := range n.orders {
		for call := range o.calls.all() {
			call.finish(Result{}, gone)
		}
		o.calls = queue[*Call]{}
	}
	for _, h := range n.held {
		h.call.finish(Result{}, gone)
	}
	for _, w := range n.waiters {
		w.finish(gone)
	}
	n.waiters = nil
	close(n.room)
}

// fail stops this replica: it must not acknowledge anything any more.
func (n *Node) fail(err error) {
	if n.failed.CompareAndSwap(nil, &err) {
		var cut *CutError
		if errors.As(err, &cut) {
			n.log.Warn("this replica starts anew", "why", err)
		} else {
			n.log.Error("this replica stops", "err", err)
		}
		n.fatal <- err
	}
}

// Err returns why this replica stopped, or nil.
func (n *Node) Err() error {
	if e := n.failed.Load(); e != nil {
		return *e
	}
	return nil
}

// OnApply has fn called with each operation in the order of delivery, from the goroutine that steps: fn
// must not block. The state shows then what the operation did, and no read that must see it was answered
// before. Call it before Start.
func (n *Node) OnApply(fn func(sub ids.Subgroup, origin ids.NodeID, op []byte)) {
	n.onApply = append(n.onApply, fn)
}
