package posix

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// write writes, and makes the other mounts see it: they would see it soon by themselves, but close(2), fsync(2) and
// whatever asks the same mount for the file's attributes wait for it.
func (f *file) write(off int64, data string) {
	f.w.Helper()
	f.call(0, request{Op: "pwrite", A: off, Data: []byte(data)})
	f.size()
}

func (f *file) size() int64 { f.w.Helper(); return int64(f.call(0, request{Op: "fstat"}).Stat.Size) }

func (f *file) wantSize(want int64) {
	f.w.Helper()
	if got := f.size(); got != want {
		f.w.Fatalf("size %d, want %d", got, want)
	}
}

// want compares what a file holds from an offset on.
func (f *file) want(off int64, data string) {
	f.w.Helper()
	if got := f.call(0, request{Op: "pread", A: int64(len(data)), B: off}).Data; string(got) != data {
		at := 0
		for at < min(len(got), len(data)) && got[at] == data[at] {
			at++
		}
		f.w.Fatalf("at %d: %d bytes, want %d; they differ from %d on", off, len(got), len(data), off+int64(at))
	}
}

func (f *file) seek(want syscall.Errno, off, at int64, whence int64) {
	f.w.Helper()
	if got := f.call(want, request{Op: "seek", A: off, B: whence}); want == 0 && got.N != at {
		f.w.Fatalf("from %d: %d, want %d", off, got.N, at)
	}
}

// pair opens a file at two mounts, or twice at one.
func pair(w *world, path string) (*file, *file) {
	a := w.at(0, alice).open(path, unix.O_CREAT|unix.O_RDWR, 0o644)
	node := 0
	if w.spread {
		node = 1
	}
	return a, w.another(node, alice).open(path, unix.O_RDWR, 0)
}

const (
	keep  = unix.FALLOC_FL_KEEP_SIZE
	punch = unix.FALLOC_FL_PUNCH_HOLE
	zero  = unix.FALLOC_FL_ZERO_RANGE
)

// fallocate(2) and lseek(2): room, holes and zeros, and where they are.
func TestFallocate(t *testing.T) {
	everywhere(t, func(w *world) {
		f, g := pair(w, "f")
		alloc := func(want syscall.Errno, off, length, mode int64) {
			w.Helper()
			f.call(want, req("fallocate", "", off, length, mode))
		}
		alloc(0, 0, 1000, keep)
		f.wantSize(0)
		alloc(0, 500, 500, 0)
		g.wantSize(1000)
		g.want(0, strings.Repeat("\x00", 1000))
		text := strings.Repeat("0123456789abcdef", 4096) // 64 KiB
		f.write(0, text)
		alloc(0, 8192, 8192, punch|keep)
		alloc(0, 20000, 100, zero)
		alloc(0, 60000, 10000, zero|keep)
		g.wantSize(65536)
		holes := []byte(text)
		clear(holes[8192:16384])
		clear(holes[20000:20100])
		clear(holes[60000:])
		g.want(0, string(holes))
		alloc(0, 65000, 1000, zero)
		g.wantSize(66000)
		g.seek(0, 0, 8192, unix.SEEK_HOLE)
		g.seek(0, 8192, 16384, unix.SEEK_DATA)
		g.seek(0, 20050, 20050, unix.SEEK_DATA) // data and holes are of whole blocks
		g.seek(0, 30000, 61440, unix.SEEK_HOLE)
		g.seek(unix.ENXIO, 62000, 0, unix.SEEK_DATA)
		g.seek(unix.ENXIO, 66000, 0, unix.SEEK_HOLE)
		blocks := g.call(0, request{Op: "fstat"}).Stat.Blocks
		if blocks*512 > 53000 {
			t.Errorf("%d blocks: the holes take room", blocks)
		}
		alloc(unix.EINVAL, 0, 0, 0)
		alloc(unix.EINVAL, -1, 10, 0)
		alloc(unix.EOPNOTSUPP, 0, 10, punch)
		alloc(unix.EFBIG, 1<<62, 1<<62, 0)
		ro := w.at(0, alice).open("f", unix.O_RDONLY, 0)
		ro.call(unix.EBADF, req("fallocate", "", 0, 10, 0))
	})
}

// copy_file_range(2): what is copied is the same, holes are copied as holes, and what is written to the one does not
// show in the other.
func TestCopyFileRange(t *testing.T) {
	everywhere(t, func(w *world) {
		text := strings.Repeat("0123456789abcdef", 8192)
		a := w.at(0, alice)
		for i := range 6 { // over several shards
			f := a.open(fmt.Sprint("f", i), unix.O_CREAT|unix.O_RDWR, 0o644)
			g := a.open(fmt.Sprint("g", i), unix.O_CREAT|unix.O_RDWR, 0o644)
			f.write(0, text)
			f.write(1<<20, "end")
			copied := int64(0)
			for copied < 1<<20+3 {
				n := f.call(0, request{Op: "copy_file_range", A: int64(g.fd), B: copied, C: copied + 7, Data: make([]byte, 1<<20+3-copied)}).N
				if n == 0 {
					break
				}
				copied += n
			}
			g.wantSize(1<<20 + 10)
			f.write(0, "changed")
			check := w.as(alice).open(fmt.Sprint("g", i), unix.O_RDWR, 0)
			check.wantSize(1<<20 + 10)
			check.want(7, text)
			check.want(1<<20+7, "end")
			check.write(7, "other")
			f.want(0, "changed")
		}
	})
}

// O_TMPFILE: a file without a name, which may be given one, unless O_EXCL says that it never may.
func TestTmpfile(t *testing.T) {
	everywhere(t, func(w *world) {
		a := w.at(0, alice)
		f := a.open(".", unix.O_TMPFILE|unix.O_RDWR, 0o640)
		f.write(0, "hidden")
		if st := f.call(0, request{Op: "fstat"}).Stat; st.Nlink != 0 || st.Size != 6 || st.Mode != unix.S_IFREG|0o640 {
			t.Errorf("%d links, size %d, mode %o", st.Nlink, st.Size, st.Mode)
		}
		if names := w.as(alice).call(0, req("list", ".")).Names; len(names) != 0 {
			t.Errorf("the directory holds %q", names)
		}
		f.call(0, request{Op: "linkproc", Path: "named"})
		w.as(alice).open("named", unix.O_RDONLY, 0).want(0, "hidden")
		if st := w.as(alice).stat("named"); st.Nlink != 1 {
			t.Errorf("%d links", st.Nlink)
		}
		g := a.open(".", unix.O_TMPFILE|unix.O_RDWR|unix.O_EXCL, 0o640)
		g.call(unix.ENOENT, request{Op: "linkproc", Path: "never"})
		a.call(unix.EINVAL, req("open", ".", unix.O_TMPFILE|unix.O_RDONLY, 0o600))
		w.as(root).call(0, req("mkdir", "d", 0o755))
		w.as(bob).call(unix.EACCES, req("open", "d", unix.O_TMPFILE|unix.O_RDWR, 0o600))
		w.as(alice).call(unix.ENOTDIR, req("open", "named", unix.O_TMPFILE|unix.O_RDWR, 0o600))
	})
}

// A file that is removed lives on while somebody has it open, also when it was removed at another mount.
func TestRemovedButOpen(t *testing.T) {
	everywhere(t, func(w *world) {
		f, g := pair(w, "f")
		f.write(0, "still here")
		w.as(alice).call(0, req("unlink", "f"))
		w.as(alice).call(unix.ENOENT, req("stat", "f"))
		for _, h := range []*file{f, g} {
			h.want(0, "still here")
			if st := h.call(0, request{Op: "fstat"}).Stat; st.Nlink != 0 {
				t.Errorf("%d links", st.Nlink)
			}
		}
		g.write(6, "there")
		f.want(0, "still there")
		f.call(0, request{Op: "fchmod", A: 0o600})
		f.call(0, req("ftruncate", "", 5))
		g.wantSize(5)
		w.as(alice).create("f", 0o600)
		if w.as(alice).stat("f").Size != 0 {
			t.Error("a new file of the same name is not empty")
		}
		g.want(0, "still")
		f.close()
		g.want(0, "still")
		d := w.at(0, alice)
		d.call(0, req("mkdir", "dir", 0o755))
		dir := d.open("dir", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		w.as(alice).call(0, req("rmdir", "dir"))
		if st := dir.call(0, request{Op: "fstat"}).Stat; st.Nlink != 0 || st.Mode&unix.S_IFMT != unix.S_IFDIR {
			t.Errorf("the removed directory has %d links", st.Nlink)
		}
	})
}

// O_APPEND: what several mounts append at once never overlaps, and none is lost.
func TestAppend(t *testing.T) {
	w := newWorld(t, true)
	w.at(0, alice).create("log", 0o666)
	const each = 200
	var all sync.WaitGroup
	for n := range mounts {
		f := w.another(n, alice).open("log", unix.O_WRONLY|unix.O_APPEND, 0)
		all.Go(func() {
			for i := range each {
				f.agent.do(request{Op: "write", FD: f.fd, Data: fmt.Appendf(nil, "%d %05d\n", n, i)})
			}
			f.agent.do(request{Op: "close", FD: f.fd})
		})
	}
	all.Wait()
	got := w.as(alice).open("log", unix.O_RDONLY, 0).call(0, request{Op: "pread", A: 1 << 20}).Data
	lines := strings.Split(strings.TrimSuffix(string(got), "\n"), "\n")
	next := [mounts]int{}
	for _, line := range lines {
		var n, i int
		if k, err := fmt.Sscanf(line, "%d %d", &n, &i); k != 2 || err != nil || i != next[n] {
			t.Fatalf("line %q, want number %d", line, next[n])
		}
		next[n]++
	}
	if len(lines) != mounts*each {
		t.Fatalf("%d lines, want %d", len(lines), mounts*each)
	}
}

// mmap(2), MAP_SHARED: what is stored is what read(2) gets, here and at other mounts, and the other way round.
func TestMappings(t *testing.T) {
	everywhere(t, func(w *world) {
		f, g := pair(w, "f")
		f.call(0, req("ftruncate", "", 3*4096))
		f.write(4096, "written")
		for i := range 20 {
			text := fmt.Sprint("stored ", i)
			f.call(0, request{Op: "mmapwrite", A: 8192, B: 4096, C: 100, Data: []byte(text)})
			g.want(4096, "written")
			g.want(4196, text)
			text = fmt.Sprint("written ", i)
			g.write(4196, text)
			if got := g.call(0, request{Op: "mmapread", A: 8192, B: 4096, C: 100}).Data; !bytes.HasPrefix(got, []byte(text)) {
				t.Fatalf("a mapping shows %q, want %q", got[:20], text)
			}
			if got := f.call(0, request{Op: "mmapread", A: 8192, B: 4096, C: 100}).Data; w.spread && !bytes.HasPrefix(got, []byte(text)) {
				eventually(w, "the mapping follows", func() bool {
					return bytes.HasPrefix(f.call(0, request{Op: "mmapread", A: 8192, B: 4096, C: 100}).Data, []byte(text))
				})
			}
		}
		before := w.as(alice).stat("f")
		pause()
		f.call(0, request{Op: "mmapwrite", A: 4096, Data: []byte("x")})
		if after := w.as(alice).stat("f"); after.Mtime == before.Mtime || after.Ctime == before.Ctime {
			t.Error("a store through a mapping does not change the times")
		}
	})
}

// pause lets the clock go on, so that times differ.
func pause() { <-time.After(2 * time.Millisecond) }

// O_DIRECT beside the page cache, and beside other mounts.
func TestDirect(t *testing.T) {
	everywhere(t, func(w *world) {
		f, g := pair(w, "f")
		d := w.at(0, alice).open("f", unix.O_RDWR|unix.O_DIRECT, 0)
		for i := range 10 {
			text := strings.Repeat(fmt.Sprintf("%08d", i), 1024)
			d.write(0, text)
			f.want(0, text)
			g.want(0, text)
			g.write(4096, "buffered")
			d.want(4096, "buffered")
		}
	})
}

// Sizes: the largest, EFBIG beyond it and beyond the limit of the process, holes in front.
func TestSizes(t *testing.T) {
	everywhere(t, func(w *world) {
		f, g := pair(w, "f")
		f.write(1<<40, "far")
		g.wantSize(1<<40 + 3)
		g.want(1<<40-2, "\x00\x00far")
		f.call(0, req("ftruncate", "", 1<<62))
		g.wantSize(1 << 62)
		f.call(unix.EINVAL, request{Op: "pwrite", A: 1<<63 - 3, Data: []byte("beyond")}) // beyond what an offset can be
		f.call(unix.EINVAL, req("ftruncate", "", -1))
		f.call(0, req("ftruncate", "", 0))
		f.want(0, "")
		small := w.another(0, alice)
		h := small.open("f", unix.O_RDWR, 0)
		small.call(0, req("fsize", "", 100))
		h.write(0, strings.Repeat("x", 50))
		if got := h.call(0, request{Op: "pwrite", A: 50, Data: make([]byte, 100)}); got.N != 50 {
			t.Errorf("%d bytes were written up to the limit", got.N)
		}
		h.call(unix.EFBIG, request{Op: "pwrite", A: 100, Data: []byte("x")})
		h.call(unix.EFBIG, req("ftruncate", "", 101))
	})
}

// link(2) counts. EMLINK at 65000 names is tested where that is fast, in package namespace.
func TestLinkCount(t *testing.T) {
	w := newWorld(t, true)
	r := w.as(root)
	r.create("f", 0o644)
	most := 300
	for i := range most - 1 {
		r.call(0, request{Op: "link", Path: "f", Path2: fmt.Sprint("l", i)})
	}
	if st := r.stat("l7"); st.Nlink != uint32(most) {
		t.Fatalf("%d links, want %d", st.Nlink, most)
	}
	for i := range most - 1 {
		r.call(0, req("unlink", fmt.Sprint("l", i)))
	}
	if st := r.stat("f"); st.Nlink != 1 {
		t.Fatalf("%d links, want 1", st.Nlink)
	}
}
