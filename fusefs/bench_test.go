package fusefs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// BenchmarkLoop compares our read loop with that of go-fuse. The callers are threads of another process.
//
//	go test ./fusefs -bench Loop -run '^$'
func BenchmarkLoop(b *testing.B) {
	for _, loop := range []string{"own", "go-fuse"} {
		for _, call := range []string{"fstat", "stat", "deep", "open", "read4k", "read1m", "write4k", "write128k", "create"} {
			for _, callers := range []int{1, 4} {
				b.Run(fmt.Sprintf("loop=%s/call=%s/callers=%d", loop, call, callers), func(b *testing.B) {
					m := mount(b, func(c *Config) {
						if loop == "go-fuse" {
							c.serve = serveClassic
						}
					})
					benchmarkCall(b, m, call, callers)
				})
			}
		}
	}
}

func benchmarkCall(b *testing.B, m *mounted, call string, callers int) {
	write(b, filepath.Join(m.dir, "f"), strings.Repeat("x", 1<<20))
	cmd := exec.Command(os.Args[0], "-test.run", "^TestClientCalls$", "-test.v")
	cmd.Env = append(os.Environ(), "DFS_TEST_MOUNT="+m.dir, fmt.Sprintf("DFS_TEST_CALLS=%s %d %d", call, callers, b.N))
	var r0, r1 unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &r0)
	before := m.requests()
	out, err := cmd.Output()
	b.ReportMetric(float64(m.requests()-before)/float64(b.N), "requests/op")
	_ = unix.Getrusage(unix.RUSAGE_SELF, &r1)
	cpu := (r1.Utime.Nano() + r1.Stime.Nano() - r0.Utime.Nano() - r0.Stime.Nano())
	b.ReportMetric(float64(cpu)/float64(b.N)/1e3, "cpu-us/op")
	b.ReportMetric(float64(r1.Nvcsw-r0.Nvcsw)/float64(b.N), "switches/op")
	if err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	_, rest, _ := strings.Cut(string(out), "took ")
	nanos, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(nanos/float64(b.N), "ns/op")
	if size := map[string]int{"read4k": 4 << 10, "read1m": 1 << 20, "write4k": 4 << 10, "write128k": 128 << 10}[call]; size > 0 {
		b.ReportMetric(float64(size)*float64(b.N)/nanos*1e3, "MB/s")
	}
}

// serveClassic serves a mount with go-fuse's loop.
func serveClassic(s *Server) error {
	server, err := fuse.NewServer(s.f, fmt.Sprintf("/dev/fd/%d", s.fd), s.options())
	if err != nil {
		return err
	}
	go func() {
		server.Serve()
		s.cancel()
		close(s.done)
	}()
	refusePoll(s.cfg.MountPoint)
	return raiseReadAhead(s.cfg.MountPoint)
}

func TestClientCalls(t *testing.T) {
	if clientDir == "" || os.Getenv("DFS_TEST_CALLS") == "" {
		t.Skip("runs in a child process")
	}
	var name string
	var callers, n int
	_, err := fmt.Sscanf(os.Getenv("DFS_TEST_CALLS"), "%s %d %d", &name, &callers, &n)
	must(t, err)
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for c := range callers {
		ready.Add(1)
		done.Add(1)
		go func() {
			defer done.Done()
			runtime.LockOSThread()
			call := clientCall(t, name, c)
			ready.Done()
			<-start
			for i := c; i < n; i += callers {
				if err := call(i); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	ready.Wait()
	began := time.Now()
	close(start)
	done.Wait()
	fmt.Printf("\ntook %d ns\n", time.Since(began).Nanoseconds())
}

// clientCall returns one of the calls to be measured.
func clientCall(t *testing.T, name string, caller int) func(i int) error {
	path := filepath.Join(clientDir, "f")
	buf := make([]byte, 1<<20)
	open := func(flags int) int {
		fd, err := unix.Open(path, flags, 0o644)
		if err != nil {
			t.Error(err)
		}
		return fd
	}
	var st unix.Stat_t
	read := func(size int) func(int) error {
		fd := open(unix.O_RDONLY | unix.O_DIRECT)
		return func(int) error { _, err := unix.Pread(fd, buf[:size], 0); return err }
	}
	write := func(size int) func(int) error {
		path = filepath.Join(clientDir, fmt.Sprint("w", caller))
		fd := open(unix.O_WRONLY | unix.O_CREAT)
		return func(i int) error { _, err := unix.Pwrite(fd, buf[:size], int64(i%256*size)); return err }
	}
	switch name {
	case "fstat":
		fd := open(unix.O_RDONLY)
		return func(int) error { return unix.Fstat(fd, &st) }
	case "stat":
		return func(int) error { return unix.Lstat(path, &st) }
	case "deep": // what it takes to get to a file three directories down
		dir := filepath.Join(clientDir, "a", "b", "c")
		path = filepath.Join(dir, "f")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Error(err)
		}
		_ = unix.Close(open(unix.O_CREAT | unix.O_WRONLY))
		return func(int) error { return unix.Lstat(path, &st) }
	case "open":
		return func(int) error { return unix.Close(open(unix.O_RDONLY)) }
	case "read4k":
		return read(4 << 10)
	case "read1m":
		return read(1 << 20)
	case "write4k":
		return write(4 << 10)
	case "write128k":
		return write(128 << 10)
	}
	return func(i int) error {
		fd, err := unix.Open(filepath.Join(clientDir, fmt.Sprint("new", i)), unix.O_CREAT|unix.O_WRONLY|unix.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	}
}
