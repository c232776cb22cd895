package posix

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dfs/tests/posix/model"
)

// user is who an agent is.
type user struct {
	UID, GID int
	Groups   []int
}

// The users of the tests. They need not be known to the machine.
var (
	root  = user{}
	alice = user{UID: 61001, GID: 62001}
	bob   = user{UID: 61002, GID: 62002}
	carol = user{UID: 61003, GID: 62003, Groups: []int{62001}} // in alice's group
)

// request is one system call for an agent.
type request struct {
	ID          int
	Op          string
	Path, Path2 string
	FD          int
	A, B, C     int64
	Data        []byte
	Step        model.Step
}

// reply is what came of it.
type reply struct {
	ID    int
	Errno syscall.Errno
	N     int64
	Data  []byte
	Names []string
	Stat  unix.Statx_t
	Lock  unix.Flock_t
}

// setup is the first thing that an agent is told.
type setup struct {
	User user
	Dir  string
}

// agent is a process that makes system calls for the tests.
type agent struct {
	t    testing.TB
	cmd  *exec.Cmd
	out  io.WriteCloser
	enc  *gob.Encoder
	done chan struct{} // closed when it has ended

	mu      sync.Mutex
	next    int
	waiting map[int]chan reply
}

const agentVariable = "DFS_TEST_AGENT"

// startAgent starts a process as a user in a directory.
func startAgent(t testing.TB, who user, dir string) *agent {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), agentVariable+"=1", "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a := &agent{t: t, cmd: cmd, out: out, enc: gob.NewEncoder(out), done: make(chan struct{}), waiting: map[int]chan reply{}}
	go a.receive(gob.NewDecoder(in))
	if err := a.enc.Encode(setup{who, dir}); err != nil {
		t.Fatal(err)
	}
	if r := a.do(request{Op: "nop"}); r.Errno != 0 {
		t.Fatalf("an agent did not start in %s: %v", dir, r.Errno)
	}
	return a
}

// receive hands out replies until the agent has ended.
func (a *agent) receive(dec *gob.Decoder) {
	for {
		var r reply
		if dec.Decode(&r) != nil {
			break
		}
		a.mu.Lock()
		c := a.waiting[r.ID]
		delete(a.waiting, r.ID)
		a.mu.Unlock()
		c <- r
	}
	_ = a.cmd.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.waiting {
		c <- reply{Errno: syscall.EOWNERDEAD}
	}
	a.waiting = nil
	close(a.done)
}

// begin has the agent make a call and returns where its reply will come.
func (a *agent) begin(r request) <-chan reply {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := make(chan reply, 1)
	if a.waiting == nil {
		c <- reply{Errno: syscall.EOWNERDEAD}
		return c
	}
	a.next++
	r.ID = a.next
	a.waiting[r.ID] = c
	if err := a.enc.Encode(r); err != nil {
		delete(a.waiting, r.ID)
		c <- reply{Errno: syscall.EOWNERDEAD}
	}
	return c
}

func (a *agent) do(r request) reply { return <-a.begin(r) }

// stop ends the agent, and with it everything that it has open.
func (a *agent) stop() {
	a.out.Close()
	<-a.done
}

// kill ends it in the middle of whatever it does.
func (a *agent) kill() {
	_ = a.cmd.Process.Kill()
	<-a.done
}

// serveAgent is the agent's process.
func serveAgent() int {
	dec, enc := gob.NewDecoder(os.Stdin), gob.NewEncoder(os.Stdout)
	var s setup
	if err := dec.Decode(&s); err != nil {
		return 1
	}
	if err := become(s.User); err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		return 1
	}
	if err := os.Chdir(s.Dir); err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		return 1
	}
	var mu sync.Mutex
	for {
		var r request
		if dec.Decode(&r) != nil {
			return 0
		}
		serve := func() {
			out := perform(&r)
			mu.Lock()
			defer mu.Unlock()
			_ = enc.Encode(out)
		}
		if r.Op == "lock" || r.Op == "flock" { // may wait, while others go on
			go serve()
			continue
		}
		serve()
	}
}

// become gives up being root.
func become(u user) error {
	unix.Umask(0)
	if u.UID == 0 {
		return nil
	}
	return errors.Join(syscall.Setgroups(u.Groups), syscall.Setresgid(u.GID, u.GID, u.GID), syscall.Setresuid(u.UID, u.UID, u.UID))
}

// perform makes one call.
func perform(r *request) reply {
	out := reply{ID: r.ID}
	call := calls[r.Op]
	if call == nil {
		out.Errno = syscall.EPROTO
		return out
	}
	if err := call(r, &out); err != nil {
		out.Errno = syscall.EPROTO
		errors.As(err, &out.Errno)
	}
	return out
}
