package sim

import (
	"bytes"
	"encoding/binary"
	"flag"
	"math/rand/v2"
	"testing"

	"dfs/fabric"
	"dfs/ids"
)

var seeds = flag.Int("seeds", 50, "how many seeds TestFaults runs")

const (
	trialNodes  = 4
	trialEpochs = 40
	streamSize  = 2048
)

// trial is a cluster whose nodes stream to each other while faults come and go, and a referee who looks
// on. An owner here is careless: it may go on with a stream long after it was told Down.
type trial struct {
	t     *testing.T
	net   *Network
	rng   *rand.Rand // of the program and the faults, apart from the network's
	nodes map[ids.NodeID]*owner
	end   Nanos
	// contents are the streams by region, as they should be.
	contents map[fabric.RegionID][]byte
}

// owner is one node of a trial.
type owner struct {
	trial *trial
	id    ids.NodeID
	ep    *Endpoint
	peers map[ids.NodeID]*stream
	mem   map[fabric.RegionID][]byte // 8 bytes of counter, 56 unused, then the stream
	seen  map[fabric.RegionID]uint64 // the counter when last checked
}

// stream is what an owner keeps of one peer.
type stream struct {
	up        bool
	epoch     uint64
	src       []byte
	at        int
	sentMsgs  uint64 // over this connection
	recvMsgs  uint64
	firstLost bool // Down came: the epoch must be over for the peer
}

func regionOf(from, to ids.NodeID, epoch uint64) fabric.RegionID {
	return fabric.RegionID(uint64(from)<<48 | uint64(to)<<32 | epoch)
}

// content returns what a region should hold.
func (tr *trial) content(id fabric.RegionID) []byte {
	if p := tr.contents[id]; p != nil {
		return p
	}
	rng := rand.New(rand.NewPCG(uint64(id), 0))
	p := make([]byte, streamSize)
	for i := 0; i < len(p); i += 8 {
		binary.LittleEndian.PutUint64(p[i:], rng.Uint64())
	}
	tr.contents[id] = p
	return p
}

func newTrial(t *testing.T, seed uint64) *trial {
	tr := &trial{t: t, rng: rand.New(rand.NewPCG(seed, 1)), nodes: map[ids.NodeID]*owner{}, end: 60_000_000,
		contents: map[fabric.RegionID][]byte{}}
	tr.net = New(Config{Seed: seed, Tear: float64(seed%3) / 4, MaxDelay: 20_000 + 200_000*Nanos(seed%5), MaxRetry: 2_000_000})
	for id := ids.NodeID(1); id <= trialNodes; id++ {
		tr.start(id)
	}
	return tr
}

// start runs a node, for the first time or after a crash. Epochs go on from where a clock would put them.
func (tr *trial) start(id ids.NodeID) {
	o := &owner{trial: tr, id: id, peers: map[ids.NodeID]*stream{}, mem: map[fabric.RegionID][]byte{},
		seen: map[fabric.RegionID]uint64{}}
	base := uint64(0)
	if old := tr.nodes[id]; old != nil {
		for _, s := range old.peers {
			base = max(base, s.epoch+1)
		}
	}
	tr.nodes[id] = o
	o.ep = tr.net.Endpoint(id, fabric.Events{Up: o.up, Down: o.down, Message: o.message, Wake: o.check})
	for peer := ids.NodeID(1); peer <= trialNodes; peer++ {
		if peer == id {
			continue
		}
		o.peers[peer] = &stream{epoch: base, src: bytes.Clone(tr.content(regionOf(id, peer, base)))}
		for epoch := range uint64(trialEpochs) {
			r := regionOf(peer, id, epoch)
			o.mem[r] = fabric.Alloc(64 + streamSize)
			o.ep.Register(r, o.mem[r])
		}
	}
	tr.net.At(tr.net.Now(), o.tick)
}

func (o *owner) up(peer ids.NodeID) {
	s := o.peers[peer]
	if s.up {
		o.trial.t.Errorf("F3: node %d: Up of %d twice", o.id, peer)
	}
	s.up, s.sentMsgs, s.recvMsgs = true, 0, 0
}

func (o *owner) down(peer ids.NodeID, err error) {
	s := o.peers[peer]
	if !s.up || err == nil {
		o.trial.t.Errorf("F3: node %d: Down of %d while up is %v, error %v", o.id, peer, s.up, err)
	}
	s.up = false
	s.firstLost = true
	for i := range s.src { // the memory is the owner's again
		s.src[i] ^= 0xff
	}
}

func (o *owner) message(peer ids.NodeID, msg []byte) {
	s := o.peers[peer]
	s.recvMsgs++
	if n := binary.LittleEndian.Uint64(msg); !s.up || n != s.recvMsgs {
		o.trial.t.Errorf("F1, F3: node %d: message %d of node %d, want %d, up is %v", o.id, n, peer, s.recvMsgs, s.up)
	}
}

// check compares what has landed with what was sent (F1, F5).
func (o *owner) check() {
	for id, mem := range o.mem {
		n := fabric.Words(mem)[0]
		if n == o.seen[id] {
			continue
		}
		o.seen[id] = n
		if !bytes.Equal(mem[64:64+n], o.trial.content(id)[:n]) {
			o.trial.t.Fatalf("F1: node %d: region %#x: the counter says %d, but bytes differ", o.id, id, n)
		}
	}
}

// tick is a node's own activity.
func (o *owner) tick() {
	tr := o.trial
	if tr.nodes[o.id] != o || o.ep.crashed || tr.net.Now() > tr.end {
		return
	}
	for range 3 {
		peer := ids.NodeID(1 + tr.rng.IntN(trialNodes))
		s := o.peers[peer]
		if s == nil {
			continue
		}
		if (s.firstLost && tr.rng.IntN(3) == 0 || s.at == streamSize) && s.up && s.epoch+1 < trialEpochs {
			s.epoch, s.at, s.firstLost = s.epoch+1, 0, false
			s.src = bytes.Clone(tr.content(regionOf(o.id, peer, s.epoch)))
		}
		o.stream(peer, s)
		if s.up {
			s.sentMsgs++
			o.ep.Send(peer, binary.LittleEndian.AppendUint64(nil, s.sentMsgs))
		}
	}
	if !tr.net.Paused(o.id) {
		o.ep.Flush()
	}
	tr.net.At(tr.net.Now()+1+tr.rng.Int64N(300_000), o.tick)
}

func (o *owner) stream(peer ids.NodeID, s *stream) {
	n := min(o.trial.rng.IntN(200), streamSize-s.at)
	if n == 0 {
		return
	}
	id := regionOf(o.id, peer, s.epoch)
	o.ep.Write(peer, id, 64+s.at, s.src[s.at:s.at+n])
	s.at += n
	o.ep.WriteWords(peer, id, 0, []uint64{uint64(s.at)})
}

// fault does one thing to the network.
func (tr *trial) fault() {
	n, rng := tr.net, tr.rng
	a := ids.NodeID(1 + rng.IntN(trialNodes))
	b := 1 + (a+ids.NodeID(rng.IntN(trialNodes-1)))%trialNodes
	switch rng.IntN(9) {
	case 0:
		n.Clog(a, b)
	case 1, 2:
		n.Unclog(a, b)
		n.Unclog(b, a)
	case 3:
		n.Cut(a, b, rng.Int64N(3_000_000))
	case 4:
		n.Heal(a, b)
	case 5, 6:
		n.Break(a, b)
	case 7:
		if n.Paused(a) {
			n.Resume(a)
		} else {
			n.Pause(a)
		}
	case 8:
		if tr.nodes[a].ep.crashed {
			tr.start(a)
		} else if rng.IntN(2) == 0 {
			n.Crash(a)
		}
	}
	if n.Now() < tr.end {
		n.At(n.Now()+rng.Int64N(2_000_000), tr.fault)
	}
}

// heal ends all faults.
func (tr *trial) heal() {
	for a := ids.NodeID(1); a <= trialNodes; a++ {
		tr.net.Resume(a)
		if tr.nodes[a].ep.crashed {
			tr.start(a)
		}
		for b := a + 1; b <= trialNodes; b++ {
			tr.net.Heal(a, b)
			tr.net.Unclog(a, b)
			tr.net.Unclog(b, a)
		}
	}
}

// run runs a seed to its end: faults, then peace, in which all must be connected again.
func (tr *trial) run() {
	tr.net.At(1_000_000, tr.fault)
	last := Nanos(0)
	for tr.net.Step() {
		if tr.net.Now() < last {
			tr.t.Fatalf("Y2: time went back from %d to %d", last, tr.net.Now())
		}
		last = tr.net.Now()
	}
	tr.heal()
	for tr.net.Step() {
	}
	for id, o := range tr.nodes {
		o.check()
		for peer, s := range o.peers {
			if !s.up || !tr.net.Connected(id, peer) {
				tr.t.Errorf("node %d is not connected to node %d in the end", id, peer)
			}
		}
	}
}

// F1 to F5, Y2, Y4: whatever happens, each region holds a prefix of its stream, messages of a connection come
// without a gap, and Up and Down take turns.
func TestFaults(t *testing.T) {
	for seed := range uint64(*seeds) {
		newTrial(t, seed).run()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// Y1: the same seed gives the same run, another seed another.
func TestSameSeedSameTrace(t *testing.T) {
	hashes := map[uint64]uint64{}
	for seed := range uint64(10) {
		var first uint64
		for again := range 2 {
			tr := newTrial(t, seed)
			tr.run()
			if again == 0 {
				first = tr.net.Hash()
			} else if h := tr.net.Hash(); h != first {
				t.Errorf("Y1: seed %d: trace %x, then %x", seed, first, h)
			}
		}
		if other, ok := hashes[first]; ok {
			t.Errorf("seeds %d and %d have the same trace", seed, other)
		}
		hashes[first] = seed
	}
}
