package fusefs

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Data and holes are of whole blocks, whatever was written; fallocate promises no more than there is.
func TestSeekByBlocks(t *testing.T) {
	m := mount(t)
	f, err := os.Create(filepath.Join(m.dir, "f"))
	must(t, err)
	defer f.Close()
	for _, at := range []int64{100, 8000, 16384, 20000} { // blocks 0, 1, 4
		_, err := f.WriteAt(make([]byte, 50), at)
		must(t, err)
	}
	_, err = f.WriteAt(make([]byte, 4096), 40960) // block 10
	must(t, err)
	must(t, f.Truncate(50000))
	for _, c := range []struct {
		whence int
		off    int64
		want   int64 // -1: ENXIO
	}{
		{unix.SEEK_DATA, 0, 0}, {unix.SEEK_DATA, 200, 200}, {unix.SEEK_DATA, 8192, 16384}, {unix.SEEK_DATA, 16500, 16500},
		{unix.SEEK_DATA, 20480, 40960}, {unix.SEEK_DATA, 45056, -1}, {unix.SEEK_DATA, 50000, -1},
		{unix.SEEK_HOLE, 0, 8192}, {unix.SEEK_HOLE, 200, 8192}, {unix.SEEK_HOLE, 9000, 9000}, {unix.SEEK_HOLE, 16384, 20480},
		{unix.SEEK_HOLE, 40960, 45056}, {unix.SEEK_HOLE, 49999, 49999}, {unix.SEEK_HOLE, 50000, -1},
	} {
		got, err := unix.Seek(int(f.Fd()), c.off, c.whence)
		if c.want < 0 && err != unix.ENXIO || c.want >= 0 && (err != nil || got != c.want) {
			t.Errorf("seek %d from %d: %d, %v; want %d", c.whence, c.off, got, err, c.want)
		}
	}
	if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(m.store.Space().FreeBytes)+1<<20); err != unix.ENOSPC {
		t.Errorf("fallocate of more than there is: %v", err)
	}
	must(t, unix.Fallocate(int(f.Fd()), 0, 0, 60000))
}
