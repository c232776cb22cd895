package posix

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dfs/tests/program"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(agentVariable) != "":
		os.Exit(serveAgent())
	case os.Getenv(guardVariable) != "":
		os.Exit(guard(os.Getenv(guardVariable)))
	}
	code := m.Run()
	if err := cluster.stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// theCluster is the one that all tests share; the first that needs it starts it.
type theCluster struct {
	once   sync.Once
	err    error
	binary string
	dir    string // holds the nodes and the mounts, and may be entered by all
	count  int    // of directories that were made in it
	guard  *exec.Cmd
	alive  io.Closer // the guard waits for its end
}

var cluster theCluster

const mounts = 3

// A cluster may also have nodes at which nothing is done, and that keep what the first three do not.
var (
	nodesFlag    = flag.Int("nodes", mounts, "nodes of the cluster; the tests use three of them")
	replicasFlag = flag.Int("replicas", 3, "how many of them keep the data of a file")
)

// mount returns the mount of a node, from 0.
func (c *theCluster) mount(node int) string {
	return filepath.Join(c.dir, "c", fmt.Sprint("mnt", node+1))
}

// start starts three nodes; tests are skipped where nothing can be mounted.
func (c *theCluster) start(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: to mount, and to be other users")
	}
	c.once.Do(func() { c.err = c.begin() })
	if c.err != nil {
		t.Fatal(c.err)
	}
}

func (c *theCluster) begin() error {
	dir, err := os.MkdirTemp("", "dfs-posix")
	if err != nil {
		return err
	}
	c.dir = dir
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if c.binary, err = program.Path(dir); err != nil {
		return err
	}
	if err := c.startGuard(); err != nil {
		return err
	}
	return c.dfs("dev", "start", filepath.Join(dir, "c"), "--nodes", fmt.Sprint(*nodesFlag), "--replicas", fmt.Sprint(*replicasFlag))
}

// guardVariable makes a process of this binary the guard of a cluster.
const guardVariable = "DFS_TEST_GUARD"

// startGuard starts a process that stops the nodes when this one ends, however it ends (PX1).
func (c *theCluster) startGuard() error {
	c.guard = exec.Command(os.Args[0])
	c.guard.Env = append(os.Environ(), guardVariable+"="+c.dir, "DFS_BINARY="+c.binary)
	c.guard.Stderr = os.Stderr
	c.guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if c.alive, err = c.guard.StdinPipe(); err != nil {
		return err
	}
	return c.guard.Start()
}

// guard waits until its parent has ended, and cleans up.
func guard(dir string) int {
	_, _ = io.Copy(io.Discard, os.Stdin)
	c := theCluster{binary: os.Getenv("DFS_BINARY"), dir: dir}
	err := c.dfs("dev", "stop", filepath.Join(dir, "c"))
	if err == nil {
		err = os.RemoveAll(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "guard:", err)
		return 1
	}
	return 0
}

func (c *theCluster) dfs(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, c.binary, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("dfs %v: %w\n%s", args, err, out)
	}
	return nil
}

// stop ends the nodes and removes everything (PX1).
func (c *theCluster) stop() error {
	if c.dir == "" {
		return nil
	}
	c.alive.Close()
	return c.guard.Wait()
}

// world is a fresh directory in the filesystem, and the agents that work in it.
type world struct {
	testing.TB
	dir    string // its name at each mount
	spread bool   // each call is made at the next mount
	turn   int
	agents map[string]*agent
}

// newWorld makes a directory that everybody may change.
func newWorld(t testing.TB, spread bool) *world {
	t.Helper()
	cluster.start(t)
	cluster.count++
	w := &world{TB: t, dir: fmt.Sprint("w", cluster.count), spread: spread, agents: map[string]*agent{}}
	if err := os.Mkdir(filepath.Join(cluster.mount(0), w.dir), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(cluster.mount(0), w.dir), 0o777); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, a := range w.agents {
			a.stop()
		}
		if t.Failed() {
			w.logs()
		}
	})
	return w
}

// logs shows how the logs of the nodes end.
func (w *world) logs() {
	for n := range mounts {
		b, _ := os.ReadFile(filepath.Join(cluster.dir, "c", fmt.Sprint("node", n+1), "log"))
		if b = b[max(0, len(b)-1500):]; strings.Contains(string(b), "level=ERROR") {
			w.Logf("log of node %d ends with:\n%s", n+1, b)
		}
	}
}

// everywhere runs a test at one mount, and then with its calls spread over three.
func everywhere(t *testing.T, test func(w *world)) {
	t.Run("one", func(t *testing.T) { test(newWorld(t, false)) })
	t.Run("spread", func(t *testing.T) { test(newWorld(t, true)) })
}

// at returns the agent of a user at a mount.
func (w *world) at(node int, u user) *actor {
	w.Helper()
	key := fmt.Sprint(node, u)
	if w.agents[key] == nil {
		w.agents[key] = startAgent(w, u, filepath.Join(cluster.mount(node), w.dir))
	}
	return &actor{w: w, u: u, agent: w.agents[key]}
}

// another returns one more process of a user at a mount.
func (w *world) another(node int, u user) *actor {
	w.Helper()
	a := startAgent(w, u, filepath.Join(cluster.mount(node), w.dir))
	w.agents[fmt.Sprint("another", len(w.agents))] = a
	return &actor{w: w, u: u, agent: a}
}

// as returns a user at no mount in particular.
func (w *world) as(u user) *actor { return &actor{w: w, u: u} }

// actor is a user who makes calls, in one process or, if agent is nil, wherever it is the turn.
type actor struct {
	w     *world
	u     user
	agent *agent
}

// process returns who makes the next call.
func (c *actor) process() *agent {
	if c.agent != nil {
		return c.agent
	}
	node := 0
	if c.w.spread {
		node = c.w.turn % mounts
		c.w.turn++
	}
	return c.w.at(node, c.u).agent
}

func (c *actor) do(r request) reply { return c.process().do(r) }

// file is a descriptor, with the process that has it.
type file struct {
	*agent
	w  *world
	fd int
}

// call makes a call whose outcome is given: 0 or an error.
func (c *actor) call(want syscall.Errno, r request) reply {
	c.w.Helper()
	got := c.do(r)
	if got.Errno != want {
		c.w.Fatalf("%s: got %v, want %v", show(r), name(got.Errno), name(want))
	}
	return got
}

func name(e syscall.Errno) string {
	if e == 0 {
		return "success"
	}
	return unix.ErrnoName(e)
}

func show(r request) string {
	if len(r.Path) > 100 {
		r.Path = fmt.Sprintf("%.30s… of %d bytes", r.Path, len(r.Path))
	}
	if len(r.Path2) > 100 {
		r.Path2 = fmt.Sprintf("%.30s… of %d bytes", r.Path2, len(r.Path2))
	}
	return fmt.Sprintf("%s(%q %q fd=%d %#o %d %d, %d bytes)", r.Op, r.Path, r.Path2, r.FD, r.A, r.B, r.C, len(r.Data))
}

// open opens a file, which must work.
func (c *actor) open(path string, flags int, mode uint32) *file {
	c.w.Helper()
	p := c.process()
	r := request{Op: "open", Path: path, A: int64(flags), B: int64(mode)}
	got := p.do(r)
	if got.Errno != 0 {
		c.w.Fatalf("%s: %v", show(r), name(got.Errno))
	}
	return &file{agent: p, w: c.w, fd: int(got.N)}
}

// call makes a call on the descriptor.
func (f *file) call(want syscall.Errno, r request) reply {
	f.w.Helper()
	r.FD = f.fd
	got := f.agent.do(r)
	if got.Errno != want {
		f.w.Fatalf("%s: got %v, want %v", show(r), name(got.Errno), name(want))
	}
	return got
}

func (f *file) close() { f.w.Helper(); f.call(0, request{Op: "close"}) }

// stat returns the attributes of a name, as seen from wherever it is the turn.
func (c *actor) stat(path string) unix.Statx_t {
	c.w.Helper()
	return c.call(0, request{Op: "stat", Path: path}).Stat
}
