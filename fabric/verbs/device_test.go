package verbs

import (
	"errors"
	"os"
	"testing"

	"dfs/fabric"
	"dfs/ids"
)

func descriptors(t *testing.T) int {
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// Q4, Q5 on this machine's adapter: views and links come and go, and no descriptor is left.
func TestNothingLeaksOnDevice(t *testing.T) {
	if os.Getenv("DFS_VERBS") == "" {
		t.Skip("DFS_VERBS names no adapter")
	}
	w := map[ids.NodeID]*watcher{}
	device := onDevice()
	all := cluster(t, 2, func(cfg *Config) {
		device(cfg)
		w[cfg.TCP.Self] = watch(cfg)
	})
	up := func(n int) {
		for id, other := range map[ids.NodeID]ids.NodeID{1: 2, 2: 1} {
			w[id].wait(t, "the link", func() bool { return w[id].ups[other] >= n })
		}
	}
	up(1)
	before := descriptors(t)
	for v := range 50 {
		for _, f := range all {
			f.Register(fabric.RegionID(v), fabric.Alloc(1<<20))
		}
		all[1].Write(2, fabric.RegionID(v), 0, make([]byte, 1<<16))
		all[1].Flush()
		for _, f := range all {
			f.Deregister(fabric.RegionID(v))
		}
		if v%5 == 4 {
			n := w[1].ups[2]
			all[1].Sever(2, errors.New("broken by the test"))
			up(n + 1)
		}
	}
	if after := descriptors(t); after > before {
		t.Errorf("Q4: %d descriptors, %d before 50 views and 10 links", after, before)
	}
	for _, f := range all {
		f.eachLink(func(l *link) {
			if len(l.mine) > 0 {
				t.Errorf("Q5: %d regions are registered after all views", len(l.mine))
			}
		})
	}
}
