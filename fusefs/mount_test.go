package fusefs

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"
	"golang.org/x/sys/unix"

	"dfs/mountpoint"
)

// A process that serves a mount should not use it: a page fault or an exec there may wait for itself. So the test
// binary runs itself once more for each test that needs a program at the mount. clientDir is set in the child.
var clientDir = os.Getenv("DFS_TEST_MOUNT")

// logBuffer collects what was logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// mounted is a mount of a fake store.
type mounted struct {
	*Server
	store *fake
	dir   string
	log   *logBuffer
}

// mount mounts a fresh fake store.
func mount(t testing.TB, change ...func(*Config)) *mounted {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	store := newFake()
	t.Cleanup(store.close)
	return remount(t, store, change...)
}

func remount(t testing.TB, store *fake, change ...func(*Config)) *mounted {
	t.Helper()
	m := &mounted{store: store, dir: filepath.Join(t.TempDir(), "mnt"), log: &logBuffer{}}
	if err := os.Mkdir(m.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(m.dir), 0o755); err != nil {
		t.Fatal(err)
	}
	cfg := Config{MountPoint: m.dir, Store: store, AllowOther: true, Suid: true, Dev: true,
		Logger: slog.New(slog.NewTextHandler(m.log, nil))}
	for _, fn := range change {
		fn(&cfg)
	}
	var err error
	if m.Server, err = Mount(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		store.hold(false)
		if t.Failed() { // something may be open still
			_ = unix.Unmount(m.dir, unix.MNT_FORCE|unix.MNT_DETACH)
		}
		if err := mountpoint.Detach(m.dir); err != nil {
			t.Error(err)
		}
		if err := m.Wait(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of the mount:\n%s", m.log)
		}
	})
	// The reaper begins with an operation; a test that counts operations or holds them back comes after it.
	eventually(t, "the reaper has begun", func() bool { return store.resumed.Load() && store.NowReady() })
	return m
}

// client runs the tests of this binary that match a pattern in another process, at the mount.
func (m *mounted) client(t *testing.T, pattern string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", pattern, "-test.v", "-test.timeout", "60s")
	cmd.Env = append(os.Environ(), "DFS_TEST_MOUNT="+m.dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%s: %v\n%s", pattern, err, out)
	}
}

// run runs a shell script at the mount and returns what it printed.
func (m *mounted) run(script string) (string, error) {
	out, err := exec.Command("sh", "-euc", "cd "+m.dir+"\n"+script).CombinedOutput()
	return strings.TrimRight(string(out), "\n"), err
}

// sh is run for what must not fail.
func (m *mounted) sh(t testing.TB, script string) string {
	t.Helper()
	out, err := m.run(script)
	if err != nil {
		t.Errorf("%s\n%v\n%s", script, err, out)
	}
	return out
}

func TestPosix(t *testing.T) {
	m := mount(t)
	m.client(t, "^TestClientPosix$")
}

func TestClientPosix(t *testing.T) {
	if clientDir == "" {
		t.Skip("runs in a child process")
	}
	for name, fn := range posixtest.All {
		if name == "FcntlFlockLocksFile" {
			continue // it wants two handles of one process to exclude each other, which POSIX locks do not
		}
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(clientDir, name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			fn(t, dir)
		})
	}
}

// TestServe mounts a fake store where DFS_TEST_SERVE says and serves it until it is unmounted, for suites that are
// run by hand:
//
//	DFS_TEST_SERVE=/mnt go test ./fusefs -run TestServe -timeout 0
func TestServe(t *testing.T) {
	dir := os.Getenv("DFS_TEST_SERVE")
	if dir == "" {
		t.Skip("runs by hand")
	}
	store := newFake()
	defer store.close()
	root := os.Geteuid() == 0
	s, err := Mount(Config{MountPoint: dir, Store: store, AllowOther: root, Suid: root, Dev: root})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
}
