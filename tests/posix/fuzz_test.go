package posix

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"dfs/tests/posix/model"
)

var (
	stepsFlag   = flag.Int("steps", 20_000, "calls that random programs make at three mounts")
	firstFlag   = flag.Uint64("first", 0, "the seed of the first random program")
	crashFlag   = flag.Bool("crash", false, "kill the nodes beyond the third meanwhile, one at a time, and start them again")
	seedFlag    = flag.Int64("seed", -1, "run only the random program of this seed")
	programFlag = flag.String("program", "", "run only the program in this file")
)

const programLength = 250

func itoa(n int) string { return strconv.Itoa(n) }

// runner runs programs, each in a directory of its own.
type runner struct {
	t      *testing.T
	w      *world
	agents [mounts]*agent
	count  int
	slots  [model.Slots]int // the node at which a file was opened
}

func newRunner(t *testing.T) *runner {
	r := &runner{t: t, w: newWorld(t, true)}
	for n := range mounts {
		r.agents[n] = r.w.at(n, root).agent
	}
	return r
}

// fresh makes a new directory and has all agents work in it.
func (r *runner) fresh() {
	r.t.Helper()
	r.count++
	name := filepath.Join(r.w.dir, fmt.Sprint("p", r.count))
	if got := r.agents[0].do(request{Op: "mkdir", Path: filepath.Join(cluster.mount(0), name), A: 0o755}); got.Errno != 0 {
		r.t.Fatal(got.Errno)
	}
	for n, a := range r.agents {
		a.do(request{Op: "closeall"})
		if got := a.do(request{Op: "chdir", Path: filepath.Join(cluster.mount(n), name)}); got.Errno != 0 {
			r.t.Fatal(got.Errno)
		}
	}
}

func (r *runner) step(s model.Step) model.Answer {
	node := s.Node
	switch s.Op {
	case "open":
		r.slots[s.Slot] = node
	case "close", "swrite", "sread", "sstat", "struncate":
		node = r.slots[s.Slot]
	}
	got := r.agents[node].do(request{Op: "step", Step: s})
	return model.Answer{Errno: got.Errno, Text: string(got.Data)}
}

// run compares the answers to a program, and in the end everything at every mount, with the model.
func (r *runner) run(p model.Program) error {
	r.fresh()
	want := model.New()
	for i, s := range p {
		right := want.Do(s)
		if s.Op == "open" && right.Errno == 16 { // the slot is taken, at whatever node
			continue
		}
		if got := r.step(s); got != right {
			return fmt.Errorf("step %d: %s%v, want %v", i, model.Program{s}, got, right)
		}
	}
	for n := range mounts {
		for _, s := range want.All(n) {
			if got, right := r.step(s), want.Do(s); got != right {
				return fmt.Errorf("in the end, at mount %d: %s%v, want %v", n+1, model.Program{s}, got, right)
			}
		}
	}
	return nil
}

// check runs a program; if it fails, a shorter one that fails is shown (PX2).
func (r *runner) check(p model.Program, what string) {
	r.t.Helper()
	err := r.run(p)
	if err == nil {
		return
	}
	tries := 0
	short := model.Minimize(p, func(q model.Program) bool { tries++; return tries < 2000 && r.run(q) != nil })
	if shortErr := r.run(short); shortErr != nil {
		err = shortErr
	}
	r.t.Fatalf("PX2: %s: %v\nThe shortest program found, to be kept in a file and run with -program FILE:\n%s", what, err, short)
}

// Random programs at three mounts answer what the model does.
func TestRandomPrograms(t *testing.T) {
	if *programFlag != "" {
		text, err := os.ReadFile(*programFlag)
		if err != nil {
			t.Fatal(err)
		}
		p, err := model.Parse(string(text))
		if err != nil {
			t.Fatal(err)
		}
		newRunner(t).check(p, *programFlag)
		return
	}
	r := newRunner(t)
	if *seedFlag >= 0 {
		r.check(model.Random(uint64(*seedFlag), programLength), fmt.Sprintf("-seed %d", *seedFlag))
		return
	}
	if *crashFlag {
		defer crashes(t)()
	}
	for seed := range uint64(*stepsFlag / programLength) {
		r.check(model.Random(*firstFlag+seed, programLength), fmt.Sprintf("-seed %d", *firstFlag+seed))
	}
}

// crashes kills and restarts in turns the nodes that programs do not use, until the function that it returns is called. So the
// data that they keep is elsewhere or lags behind, and views change under the calls.
func crashes(t *testing.T) (end func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		dir := filepath.Join(cluster.dir, "c")
		for count := 0; ; count++ {
			node := fmt.Sprint(mounts + 1 + count%(*nodesFlag-mounts))
			for _, what := range []string{"kill", "restart"} {
				if err := cluster.dfs("dev", what, dir, node); err != nil {
					t.Error(err)
					return
				}
			}
			select {
			case <-ended:
				t.Logf("%d crashes", count+1)
				return
			default:
			}
		}
	}()
	return func() { close(ended); <-done }
}

// Programs that failed once.
func TestKeptPrograms(t *testing.T) {
	files, err := filepath.Glob("testdata/programs/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var r *runner
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := model.Parse(string(text))
		if err != nil {
			t.Fatal(err)
		}
		if r == nil {
			r = newRunner(t)
		}
		r.check(p, file)
	}
}
