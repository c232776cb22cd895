package tcp

import (
	"fmt"
	"sync"

	"dfs/fabric"
)

// region is registered memory. A frame being stored keeps a pointer to it between reads.
type region struct {
	mem []byte // nil once deregistered; guarded by registry.mu
}

// registry holds the regions of one node. Reader goroutines hold mu shared while they store (K3).
type registry struct {
	mu      sync.RWMutex
	regions map[fabric.RegionID]*region
}

func (r *registry) add(id fabric.RegionID, mem []byte) {
	if !fabric.Aligned(mem) {
		panic(fmt.Sprintf("fabric/tcp: region %#x at %p is not aligned to 64 bytes (F2)", id, mem))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.regions[id] != nil {
		panic(fmt.Sprintf("fabric/tcp: region %#x is registered already", id))
	}
	r.regions[id] = &region{mem: mem}
}

func (r *registry) remove(id fabric.RegionID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if reg := r.regions[id]; reg != nil {
		reg.mem = nil
		delete(r.regions, id)
	}
}

// findLocked returns the region that size bytes at off fit in, or nil (F4).
func (r *registry) findLocked(id fabric.RegionID, off uint64, size int) *region {
	reg := r.regions[id]
	if reg == nil || off > uint64(len(reg.mem)) || uint64(size) > uint64(len(reg.mem))-off {
		return nil
	}
	return reg
}
