package sim

import (
	"fmt"
	"strings"
	"time"

	"dfs/ids"
)

// happening is one line of the trace.
type happening struct {
	at   time.Duration
	node ids.NodeID // 0: the world
	what string
	a, b uint64
}

func (h happening) String() string {
	return fmt.Sprintf("%12.6fs  node %d  %s %d %d", h.at.Seconds(), h.node, h.what, h.a, h.b)
}

const traceTail = 60

// trace is a hash over everything that happens, and the end of it (W10).
type trace struct {
	hash  uint64
	count uint64
	tail  [traceTail]happening
	show  func(string) // every line, if it is set
}

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

func (t *trace) add(h happening) {
	if t.count == 0 {
		t.hash = fnvOffset
	}
	for _, x := range [...]uint64{uint64(h.at), uint64(h.node), h.a, h.b} {
		t.hash = (t.hash ^ x) * fnvPrime
	}
	for i := range len(h.what) {
		t.hash = (t.hash ^ uint64(h.what[i])) * fnvPrime
	}
	t.tail[t.count%traceTail] = h
	t.count++
	if t.show != nil {
		t.show(h.String())
	}
}

// last returns the last lines.
func (t *trace) last() string {
	var b strings.Builder
	for i := t.count - min(t.count, traceTail); i < t.count; i++ {
		fmt.Fprintln(&b, t.tail[i%traceTail])
	}
	return b.String()
}
