package faults

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dfs/devcluster"
	"dfs/node"

	"github.com/anishathalye/porcupine"
	"golang.org/x/sys/unix"
)

const (
	historyCalls = 1000
	perNode      = 2 // clients at each mount
	registers    = 3 // small files that are read and written as a whole
	folders      = 2 // directories whose names are made, renamed, removed
)

// event is one call in a history. The objects that calls with different keys touch have nothing in common.
type event struct {
	call
	key  string
	from string // base names
	to   string
	ino  uint64 // rename: of the file that gets the name from, and had one of its own before
}

// registerModel is a small file: what was written last is read.
func registerModel(state string, e event, a answer) (bool, string) {
	if e.Op == "put" {
		return true, e.Data
	}
	return a.Data == state, state
}

// names is the state of a directory as text: name=inode, each with a semicolon, in order.
func names(state string) map[string]string {
	m := map[string]string{}
	for pair := range strings.SplitSeq(strings.TrimSuffix(state, ";"), ";") {
		if name, ino, ok := strings.Cut(pair, "="); ok {
			m[name] = ino
		}
	}
	return m
}

func text(m map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m)) {
		b.WriteString(name + "=" + m[name] + ";")
	}
	return b.String()
}

// namesModel is a directory: which names it has, and what they stand for. An answer of a call that is unknown is any.
// Whoever made a file without learning its inode left a question mark with its call's own text, until somebody sees it.
func namesModel(state string, e event, a answer) (bool, string) {
	m := names(state)
	ino, there := m[e.from]
	want := func(errno syscall.Errno) bool { return a.Gone || a.Errno == errno }
	switch e.Op {
	case "create":
		if there {
			return want(syscall.EEXIST), state
		}
		m[e.from] = fmt.Sprint(a.Ino)
		if a.Gone {
			m[e.from] = "?" + e.Data
		}
		return want(0), text(m)
	case "stat":
		if !there || a.Errno != 0 {
			return !there && a.Errno == syscall.ENOENT, state
		}
		if strings.HasPrefix(ino, "?") {
			m[e.from] = fmt.Sprint(a.Ino)
			return true, text(m)
		}
		return ino == fmt.Sprint(a.Ino), state
	case "rename":
		m[e.from] = fmt.Sprint(e.ino)
		return want(0), text(m)
	case "unlink":
		delete(m, e.from)
	case "move":
		// The order in which the kernel looks for the two names is its own.
		if _, taken := m[e.to]; taken && (there || a.Errno == syscall.EEXIST) {
			return want(syscall.EEXIST), state
		}
		if there {
			delete(m, e.from)
			m[e.to] = ino
		}
	}
	if !there {
		return want(syscall.ENOENT), state
	}
	return want(0), text(m)
}

var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := map[string][]porcupine.Operation{}
		for _, o := range history {
			key := o.Input.(event).key
			parts[key] = append(parts[key], o)
		}
		return slices.Collect(maps.Values(parts))
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		e, a := input.(event), output.(answer)
		if e.Op == "put" || e.Op == "get" {
			return registerModel(state.(string), e, a)
		}
		return namesModel(state.(string), e, a)
	},
	DescribeOperation: func(input, output any) string {
		e, a := input.(event), output.(answer)
		return fmt.Sprintf("%s %s %s %s -> %d %s %d", e.Op, e.from, e.to, e.Data, a.Errno, a.Data, a.Ino)
	},
}

// history is what some clients did at once and were told.
type history struct {
	c       *cluster
	dir     string
	serving [size + 1]atomic.Bool // clients may use the mount
	enough  atomic.Bool
	begun   atomic.Int64

	mu  sync.Mutex
	ops []porcupine.Operation // guarded by mu
}

// draw chooses what a client at a node does next. unique is text that no other call has.
func (h *history) draw(rng *rand.Rand, node int, unique string) event {
	path := func(name string) string { return h.c.path(node, h.dir, name) }
	if rng.IntN(2) == 0 {
		key := fmt.Sprint("r", rng.IntN(registers))
		e := event{key: key, from: key, call: call{Op: "get", Path: path(key)}}
		if rng.IntN(2) == 0 {
			e.Op, e.Data = "put", unique
		}
		return e
	}
	key, all := fmt.Sprint("d", rng.IntN(folders)), []string{"a", "b", "c"}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	e := event{key: key, from: all[0], call: call{Path: path(key + "/" + all[0]), Data: unique}}
	switch e.Op = []string{"create", "create", "stat", "stat", "stat", "unlink", "move", "rename"}[rng.IntN(8)]; e.Op {
	case "rename": // from a name that nobody else knows: of two names of one file the kernel moves neither, and says nothing
		e.Path, e.To = path(key+"/"+unique), e.Path
	case "move":
		e.to = all[1]
		e.To = path(key + "/" + e.to)
	}
	return e
}

// client does calls at one mount until there are enough. A call whose agent or node has gone stays open.
func (h *history) client(id, node int, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, uint64(id)))
	p := spawn(h.c.t, "calls")
	defer func() { p.end() }()
	pace := time.NewTicker(8 * time.Millisecond)
	defer pace.Stop()
	for k := 0; !h.enough.Load(); k++ {
		<-pace.C
		if !h.serving[node].Load() {
			continue
		}
		e := h.draw(rng, node, fmt.Sprintf("%02d-%05d", id, k))
		if e.Op == "rename" {
			made := p.do(call{Op: "create", Path: e.Path})
			if e.ino = made.Ino; !made.ok() {
				continue
			}
		}
		h.begun.Add(1)
		a := p.do(e.call)
		op := porcupine.Operation{ClientId: id, Input: e, Call: a.Begin, Output: a, Return: a.End}
		if !a.Gone && !slices.Contains([]syscall.Errno{0, syscall.ENOENT, syscall.EEXIST}, a.Errno) {
			a.Gone = true
		}
		if a.Gone {
			op.Output, op.Return = a, math.MaxInt64
			if e.Op == "get" || e.Op == "stat" {
				continue // saw nothing and changed nothing
			}
		}
		h.mu.Lock()
		h.ops = append(h.ops, op)
		h.mu.Unlock()
	}
}

// disturb does something to a node in the midst of a history.
func (h *history) disturb(which int, rng *rand.Rand) string {
	victim := 1 + rng.IntN(size)
	var stop time.Duration
	switch which % 3 {
	case 0:
		h.c.kill(victim)
		h.serving[victim].Store(false)
		at := h.begun.Load()
		waitFor(h.c.t, "the others to go on", func() bool { return h.begun.Load() > at+historyCalls/5 })
		h.c.restart(victim)
		h.serving[victim].Store(true)
		return fmt.Sprintf("node %d killed and restarted", victim)
	case 1:
		stop = suspicion * 5 / 4
	case 2:
		stop = suspicion * 4 / 5
	}
	h.c.signal(victim, unix.SIGSTOP)
	pass(stop)
	h.c.signal(victim, unix.SIGCONT)
	return fmt.Sprintf("node %d stopped for %v", victim, stop)
}

func TestLinearizable(t *testing.T) {
	c, rng := start(t, devcluster.Options{Consistency: node.Strict}), newRand(t)
	setup := spawn(t, "calls")
	for i := range *historyCount {
		h := &history{c: c, dir: fmt.Sprint("h", i)}
		setup.must(t, call{Op: "mkdir", Path: c.path(1, h.dir)})
		for r := range registers {
			setup.must(t, call{Op: "create", Path: c.path(1, h.dir, fmt.Sprint("r", r))})
		}
		for d := range folders {
			setup.must(t, call{Op: "mkdir", Path: c.path(1, h.dir, fmt.Sprint("d", d))})
		}
		var clients sync.WaitGroup
		seed := rng.Uint64()
		for id := range size * perNode {
			h.serving[1+id%size].Store(true)
			clients.Go(func() { h.client(id, 1+id%size, seed) })
		}
		waitFor(t, "the clients", func() bool { return h.begun.Load() > historyCalls/4 })
		fault := h.disturb(i, rng)
		at := h.begun.Load()
		waitFor(t, "the clients", func() bool { return h.begun.Load() > max(historyCalls, at+historyCalls/4) })
		h.enough.Store(true)
		clients.Wait()
		h.verify(i, fault)
	}
}

// verify holds the history against the model (F4).
func (h *history) verify(i int, fault string) {
	t, open := h.c.t, 0
	for _, o := range h.ops {
		if o.Output.(answer).Gone {
			open++
		}
	}
	began := time.Now()
	result, info := porcupine.CheckOperationsVerbose(model, h.ops, 30*time.Second)
	t.Logf("history %d: %d calls, %d of unknown outcome, %s: %s, checked in %v", i, len(h.ops), open, fault, result, time.Since(began).Round(time.Millisecond))
	if result == porcupine.Ok {
		return
	}
	t.Errorf("F4: history %d is not shown to be linearizable", i)
	if f, err := writeFile(info); err == nil {
		t.Logf("open in a browser: %s", f)
	}
}

// writeFile keeps a picture of a history that fails.
func writeFile(info porcupine.LinearizationInfo) (string, error) {
	f, err := os.CreateTemp("", "history*.html")
	if err != nil {
		return "", err
	}
	defer f.Close()
	return f.Name(), porcupine.Visualize(model, info, f)
}

// The model itself refuses what is wrong.
func TestModel(t *testing.T) {
	op := func(client int, call, end int64, e event, a answer) porcupine.Operation {
		return porcupine.Operation{ClientId: client, Input: e, Call: call, Output: a, Return: end}
	}
	does := func(op, from string) event { return event{call: call{Op: op}, from: from} }
	put := func(data string) event { return event{call: call{Op: "put", Data: data}} }
	for what, c := range map[string]struct {
		want bool
		ops  []porcupine.Operation
	}{
		"read after write": {true, []porcupine.Operation{op(0, 1, 2, put("x"), answer{}), op(1, 3, 4, does("get", ""), answer{Data: "x"})}},
		"stale read":       {false, []porcupine.Operation{op(0, 1, 2, put("x"), answer{}), op(1, 3, 4, does("get", ""), answer{})}},
		"a write of unknown outcome seen and gone again": {false, []porcupine.Operation{
			op(0, 1, math.MaxInt64, put("x"), answer{Gone: true}),
			op(1, 3, 4, does("get", ""), answer{Data: "x"}), op(1, 5, 6, does("get", ""), answer{})}},
		"made twice": {false, []porcupine.Operation{
			op(0, 1, 4, does("create", "a"), answer{Ino: 5}), op(1, 2, 3, does("create", "a"), answer{Ino: 6})}},
		"removed, yet there": {false, []porcupine.Operation{
			op(0, 1, 2, does("create", "a"), answer{Ino: 5}), op(0, 3, 4, does("unlink", "a"), answer{}), op(1, 5, 6, does("stat", "a"), answer{Ino: 5})}},
		"made by whom nobody knows": {true, []porcupine.Operation{
			op(0, 1, math.MaxInt64, does("create", "a"), answer{Gone: true}), op(1, 3, 4, does("stat", "a"), answer{Ino: 5})}},
		"two inodes under one name": {false, []porcupine.Operation{
			op(0, 1, math.MaxInt64, does("create", "a"), answer{Gone: true}),
			op(1, 3, 4, does("stat", "a"), answer{Ino: 5}), op(1, 5, 6, does("stat", "a"), answer{Ino: 6})}},
	} {
		if got := porcupine.CheckOperations(model, c.ops); got != c.want {
			t.Errorf("F4: %s: linearizable is %v", what, got)
		}
	}
}
