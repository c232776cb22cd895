package bench

import (
	"sync"
	"sync/atomic"

	"dfs/fabric"
	"dfs/ids"
)

// memory is the fabric of members that share a process: a write is a copy into the peer's region, and
// takes effect at once. It shows what the cores cost without a network. It sends no control messages, and
// its links never break.
type memory struct {
	self  ids.NodeID
	wake  func()
	peers map[ids.NodeID]*memory // all, this one included; complete before the first write
	dirty []*memory              // written to since the last Flush

	mu      sync.RWMutex // held shared during a copy
	regions map[fabric.RegionID][]byte

	sent, discarded atomic.Uint64
}

// newMemory makes n fabrics that know each other, for the nodes 1 to n.
func newMemory(n int, wake func(r ids.Rank)) []*memory {
	peers := map[ids.NodeID]*memory{}
	all := make([]*memory, n)
	for r := range all {
		all[r] = &memory{
			self: node(ids.Rank(r)), peers: peers, regions: map[fabric.RegionID][]byte{},
			wake: func() { wake(ids.Rank(r)) },
		}
		peers[all[r].self] = all[r]
	}
	return all
}

func (f *memory) Register(id fabric.RegionID, mem []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.regions[id] = mem
}

func (f *memory) Deregister(id fabric.RegionID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.regions, id)
}

func (f *memory) Source([]byte) (release func()) { return func() {} }

// into calls fn with size bytes at off of a peer's region, or counts that there are none (F4).
func (f *memory) into(peer ids.NodeID, id fabric.RegionID, off, size int, fn func(dst []byte)) {
	p := f.peers[peer]
	p.mu.RLock()
	defer p.mu.RUnlock()
	mem := p.regions[id]
	if off < 0 || off > len(mem) || size > len(mem)-off {
		p.discarded.Add(1)
		return
	}
	fn(mem[off : off+size])
	f.sent.Add(uint64(size))
	for _, d := range f.dirty {
		if d == p {
			return
		}
	}
	f.dirty = append(f.dirty, p)
}

func (f *memory) Write(peer ids.NodeID, region fabric.RegionID, off int, src []byte) {
	f.into(peer, region, off, len(src), func(dst []byte) { copy(dst, src) })
}

func (f *memory) WriteWords(peer ids.NodeID, region fabric.RegionID, off int, words []uint64) {
	f.into(peer, region, off, 8*len(words), func(dst []byte) {
		for i, at := 0, fabric.Words(dst); i < len(words); i++ {
			atomic.StoreUint64(&at[i], words[i])
		}
	})
}

func (f *memory) Send(ids.NodeID, []byte) {}

func (f *memory) Flush() {
	for _, p := range f.dirty {
		p.wake()
	}
	f.dirty = f.dirty[:0]
}

func (f *memory) Stats() fabric.Stats {
	return fabric.Stats{Sent: f.sent.Load(), Discarded: f.discarded.Load()}
}

func (f *memory) Sever(ids.NodeID, error) {}

func (f *memory) Heard(ids.NodeID) uint64 { return 0 }

func (f *memory) Close() error { return nil }
