package sim

import (
	"testing"
	"time"
)

// W13: a thousand changes of views leave nothing behind: no region, no ring, no connection.
func TestThousandViews(t *testing.T) {
	w := newWorld(3)
	w.faults.kind, w.faults.provoked, w.faults.points.share = nil, 0, 0
	w.quiet = true
	for _, m := range w.present() {
		m.start()
	}
	changes := 1000
	if testing.Short() {
		changes = 50
	}
	defer func() {
		if f, ok := recover().(failure); ok {
			t.Fatal(f.text)
		}
	}()
	for i := 0; w.changes.newest.ID < 2 || int(w.changes.newest.ID) <= changes; i++ {
		w.finish("end of the change")
		for _, m := range w.present() {
			w.tidy(m)
		}
		all := w.present()
		a, b := all[i%len(all)], all[(i+1)%len(all)]
		before := w.changes.newest.ID
		if i%3 == 0 {
			m := all[i/3%len(all)]
			m.crash(false)
			m.start()
		} else {
			w.net.Break(a.id, b.id)
		}
		if !w.runUntil(w.now()+20*time.Second, func() bool { return w.changes.newest.ID > before }) {
			t.Fatalf("view %d goes on without an end", before)
		}
	}
	t.Logf("%d nodes, %d views in %v of virtual time", len(w.present()), w.changes.newest.ID, w.now())
}
