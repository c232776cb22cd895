package faults

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// agentEnv names the kind of agent that a process of this binary is.
const agentEnv = "DFS_TEST_AGENT"

// agents by kind; the arguments are the kind's own.
var agents = map[string]func(args []string) error{
	"calls": serveCalls, "append": appendRecords, "create": createFiles,
	"causal": writeCausally, "observe": observeCausally,
}

// process is an agent that runs.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	lines sync.WaitGroup
	once  sync.Once
}

// spawn starts an agent. It is ended with the test.
func spawn(t testing.TB, kind string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0], args...)}
	p.cmd.Env = append(os.Environ(), agentEnv+"="+kind)
	p.cmd.Stderr = os.Stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.end)
	return p
}

// follow has fn called with each line that the agent says.
func (p *process) follow(fn func(line string)) {
	p.lines.Go(func() {
		for p.out.Scan() {
			fn(p.out.Text())
		}
	})
}

// finish asks an agent that repeats something to end after the turn it is at, and waits until all is known that it said.
func (p *process) finish() {
	p.in.Close()
	p.lines.Wait()
	p.end()
}

// end kills the agent and waits until all is known that it said.
func (p *process) end() {
	p.once.Do(func() {
		p.cmd.Process.Kill()
		p.lines.Wait()
		p.cmd.Wait()
	})
}

// asked is closed when the test wants a repeating agent to end.
func asked() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(done)
	}()
	return done
}

// call is what an agent is to do.
type call struct {
	Op   string
	Path string
	To   string `json:",omitempty"`
	Data string `json:",omitempty"`
}

// answer is what came of it.
type answer struct {
	Errno      syscall.Errno
	Data       string `json:",omitempty"`
	Ino        uint64 `json:",omitempty"`
	Begin, End int64
	Gone       bool `json:"-"` // the agent did not answer
}

func (a answer) ok() bool { return !a.Gone && a.Errno == 0 }

// do has a commanding agent carry out one call, which may take as long as it takes.
func (p *process) do(c call) answer {
	begin := monotonic()
	if err := json.NewEncoder(p.in).Encode(c); err != nil {
		return answer{Gone: true, Begin: begin}
	}
	var a answer
	if !p.out.Scan() || json.Unmarshal(p.out.Bytes(), &a) != nil {
		return answer{Gone: true, Begin: begin}
	}
	return a
}

// later carries out a call and delivers its answer when it has come.
func (p *process) later(c call) <-chan answer {
	ch := make(chan answer, 1)
	go func() { ch <- p.do(c) }()
	return ch
}

// await waits for an answer that must come.
func await(t testing.TB, what string, ch <-chan answer) answer {
	t.Helper()
	select {
	case a := <-ch:
		if !a.ok() {
			t.Fatalf("%s: %+v", what, a)
		}
		return a
	case <-time.After(patience):
		t.Fatalf("%s: no answer for %v", what, patience)
		return answer{}
	}
}

// must carries out a call that has to succeed.
func (p *process) must(t testing.TB, c call) answer {
	t.Helper()
	return await(t, c.Op+" "+c.Path, p.later(c))
}

// serveCalls is the agent that does what it is told.
func serveCalls([]string) error {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	held := map[string]*os.File{}
	for {
		var c call
		if err := in.Decode(&c); err != nil {
			return nil
		}
		a := answer{Begin: monotonic()}
		err := c.run(&a, held)
		a.End = monotonic()
		if err != nil && !errors.As(err, &a.Errno) {
			a.Errno = syscall.EPROTO // none of a filesystem
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
}

func (c *call) run(a *answer, held map[string]*os.File) error {
	switch c.Op {
	case "mkdir":
		return os.Mkdir(c.Path, 0o755)
	case "rename":
		return os.Rename(c.Path, c.To)
	case "move": // fails when there is a file of the new name
		return unix.Renameat2(unix.AT_FDCWD, c.Path, unix.AT_FDCWD, c.To, unix.RENAME_NOREPLACE)
	case "unlink":
		return syscall.Unlink(c.Path)
	case "copy":
		b, err := os.ReadFile(c.Path)
		if err != nil {
			return err
		}
		return os.WriteFile(c.To, b, 0o600)
	case "list":
		entries, err := os.ReadDir(c.Path)
		for _, e := range entries {
			a.Data += e.Name() + "\n"
		}
		return err
	case "stat":
		var st syscall.Stat_t
		err := syscall.Stat(c.Path, &st)
		a.Ino = st.Ino
		return err
	case "create":
		f, err := os.OpenFile(c.Path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		var st syscall.Stat_t
		err = syscall.Fstat(int(f.Fd()), &st)
		a.Ino = st.Ino
		return errors.Join(err, f.Close())
	case "hold":
		f, err := os.OpenFile(c.Path, os.O_RDWR, 0)
		held[c.Path] = f
		return err
	case "put", "get", "heldput", "heldget":
		return c.access(a, held)
	}
	return errors.New("no such call")
}

// access reads or writes a small file as a whole.
func (c *call) access(a *answer, held map[string]*os.File) error {
	f := held[c.Path]
	if !strings.HasPrefix(c.Op, "held") {
		flags := os.O_RDONLY
		if c.Op == "put" {
			flags = os.O_WRONLY
		}
		var err error
		if f, err = os.OpenFile(c.Path, flags, 0); err != nil {
			return err
		}
		defer f.Close()
	}
	if strings.HasSuffix(c.Op, "put") {
		_, err := f.WriteAt([]byte(c.Data), 0)
		return err
	}
	b := make([]byte, 4096)
	n, err := f.ReadAt(b, 0)
	a.Data = string(b[:n])
	if err == io.EOF {
		err = nil
	}
	return err
}
