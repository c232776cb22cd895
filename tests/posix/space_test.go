package posix

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// df tells of the disk that the node has, and df -i how many files there are.
func TestStatFS(t *testing.T) {
	w := newWorld(t, true)
	var disk, before, after unix.Statfs_t
	dir := filepath.Join(cluster.mount(0), w.dir)
	if err := unix.Statfs(cluster.dir, &disk); err != nil {
		t.Fatal(err)
	}
	if err := unix.Statfs(dir, &before); err != nil {
		t.Fatal(err)
	}
	used := func(st *unix.Statfs_t) float64 { return float64(st.Blocks-st.Bfree) * float64(st.Bsize) }
	// Others write to the disk too, and some of it is kept back for the log.
	const apart = 4 << 30
	if d := used(&before) - used(&disk); math.Abs(d) > apart {
		t.Errorf("%.0f bytes are used, of the disk %.0f", used(&before), used(&disk))
	}
	if avail := float64(disk.Bavail) * float64(disk.Bsize); float64(before.Bavail)*float64(before.Bsize) > avail+apart {
		t.Errorf("%d blocks are free, more than the disk has", before.Bavail)
	}
	const files = 50
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Statfs(dir, &after); err != nil {
		t.Fatal(err)
	}
	was, is := before.Files-before.Ffree, after.Files-after.Ffree
	// What other tests have removed goes meanwhile.
	if is+10_000 < was+files || is > was+files+10_000 || was > 1_000_000 {
		t.Errorf("%d files are used, %d before %d were made", is, was, files)
	}
}
