package nvm

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"dfs/errs"
)

// Traced is a Dir in memory that runs the code of persistent memory, and keeps every store, flush and fence of it. From
// that it makes what memory may hold if the power fails in between. Names are durable at once; Strict is for those.
type Traced struct {
	mu     sync.Mutex
	files  map[string]*tracedFile
	events []Event
}

// Event is one step of the code.
type Event struct {
	Kind EventKind
	Name string
	file *tracedFile
	off  int
	data []byte // stored or streamed; of a flush only its length counts
}

// EventKind says what a step does.
type EventKind int

// The steps.
const (
	Stored   EventKind = iota // into the cache: durable when flushed and fenced, or whenever the cache likes
	Streamed                  // past the cache: durable when fenced, or earlier, word by word
	Flushed
	Fenced // for all files
)

type tracedFile struct {
	mem   []byte
	first []byte // as it was when tracing began
}

// NewTraced returns an empty directory.
func NewTraced() *Traced { return &Traced{files: map[string]*tracedFile{}} }

// Events returns all steps so far.
func (t *Traced) Events() []Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.events)
}

func (t *Traced) add(e Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, e)
}

// tracer is the flusher of one file.
type tracer struct {
	t    *Traced
	name string
	file *tracedFile
	mem  []byte
}

// at is where dst begins: slices of a file reach to its end.
func (r tracer) at(dst []byte) int { return cap(r.mem) - cap(dst) }

func (r tracer) store(dst, src []byte) {
	r.t.add(Event{Stored, r.name, r.file, r.at(dst), slices.Clone(src)})
	copy(dst, src)
}

func (r tracer) stream(dst, src []byte) {
	r.t.add(Event{Streamed, r.name, r.file, r.at(dst), slices.Clone(src)})
	copy(dst, src)
}

func (r tracer) flush(dst []byte) {
	r.t.add(Event{Flushed, r.name, r.file, r.at(dst), make([]byte, len(dst))})
}
func (r tracer) fence() { r.t.add(Event{Kind: Fenced}) }

// pending is what is not durable yet of one cache line: the steps that changed it, in order.
type pending struct {
	steps   []Event // each within the line
	through int     // so many of them are flushed or streamed: the next fence makes them durable
}

// Crash returns memory as it may be when the power fails after so many steps, with the step skip left out (none if it
// is negative). pick(n) chooses one of n possibilities, as often as it is asked; see Choices.
func (t *Traced) Crash(after, skip int, pick func(n int) int) *Traced {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := image{mems: map[*tracedFile][]byte{}, lines: map[*tracedFile]map[int]*pending{}}
	for _, f := range t.files {
		m.mems[f], m.lines[f] = slices.Clone(f.first), map[int]*pending{}
	}
	for i, e := range t.events[:after] {
		switch {
		case e.Kind == Fenced:
			m.fence(i == skip)
		case i != skip && m.lines[e.file] != nil: // else it was removed
			eachLine(e, m.step)
		}
	}
	c := NewTraced()
	for _, name := range slices.Sorted(maps.Keys(t.files)) {
		f := t.files[name]
		for _, l := range slices.Sorted(maps.Keys(m.lines[f])) {
			m.lines[f][l].survive(m.mems[f], pick)
		}
		c.files[name] = &tracedFile{mem: m.mems[f], first: slices.Clone(m.mems[f])}
	}
	return c
}

// image is memory, and what is on its way to it.
type image struct {
	mems  map[*tracedFile][]byte
	lines map[*tracedFile]map[int]*pending
}

// step takes a step within a line.
func (m image) step(l int, e Event) {
	p := m.lines[e.file][l]
	if p == nil {
		p = &pending{}
		m.lines[e.file][l] = p
	}
	if e.Kind != Flushed {
		p.steps = append(p.steps, e)
	}
	if e.Kind != Stored {
		p.through = len(p.steps)
	}
}

// fence makes durable what is on its way. If it is left out, a later one does not do it either: that may be another
// processor's.
func (m image) fence(leftOut bool) {
	for file, of := range m.lines {
		for l, p := range of {
			if !leftOut {
				for _, s := range p.steps[:p.through] {
					copy(m.mems[file][s.off:], s.data)
				}
				p.steps = p.steps[p.through:]
			}
			if p.through = 0; len(p.steps) == 0 {
				delete(of, l)
			}
		}
	}
}

// survive picks what of a line has reached memory: some of its steps in order, and words of the one after.
func (p *pending) survive(mem []byte, pick func(n int) int) {
	whole := pick(len(p.steps) + 1)
	for _, s := range p.steps[:whole] {
		copy(mem[s.off:], s.data)
	}
	if whole == len(p.steps) {
		return
	}
	s := p.steps[whole]
	for from := 0; from < len(s.data); {
		to := min(len(s.data), from+wordSize-(s.off+from)%wordSize)
		if pick(2) == 1 {
			copy(mem[s.off+from:], s.data[from:to])
		}
		from = to
	}
}

// eachLine cuts a step at the borders of cache lines.
func eachLine(e Event, fn func(l int, part Event)) {
	for from := 0; from < len(e.data); {
		at := e.off + from
		to := min(len(e.data), from+line-at%line)
		fn(at/line, Event{e.Kind, e.Name, e.file, at, e.data[from:to]})
		from = to
	}
}

// Choices calls try with different picks: with all there are, if those are not many more than limit, else with limit at
// random.
func Choices(limit int, rng *rand.Rand, try func(pick func(n int) int)) {
	var radix, digits []int
	run := func() {
		at := 0
		try(func(n int) int {
			if at++; at > len(digits) {
				digits, radix = append(digits, 0), append(radix, n)
			}
			return digits[at-1]
		})
	}
	run()
	total := 1
	for _, n := range radix {
		if total *= n; total > limit {
			break
		}
	}
	if total > limit {
		for range limit - 1 {
			try(rng.IntN)
		}
		return
	}
	for range 8 * limit {
		for len(digits) > 0 && digits[len(digits)-1] == radix[len(radix)-1]-1 {
			digits, radix = digits[:len(digits)-1], radix[:len(radix)-1]
		}
		if len(digits) == 0 {
			return
		}
		digits[len(digits)-1]++
		run()
	}
}

// Create makes a file.
func (t *Traced) Create(name string, size int64) (File, error) {
	t.mu.Lock()
	if t.files[name] != nil {
		t.mu.Unlock()
		return nil, errs.New(errs.Exists, "create %s: already exists", name)
	}
	t.files[name] = &tracedFile{mem: make([]byte, size), first: make([]byte, size)}
	t.mu.Unlock()
	return t.OpenWrite(name, size)
}

// Open opens a file for reading.
func (t *Traced) Open(name string) (File, error) { return t.open(name, 0, false) }

// OpenWrite opens a file for reading and writing.
func (t *Traced) OpenWrite(name string, size int64) (File, error) { return t.open(name, size, true) }

func (t *Traced) open(name string, size int64, writable bool) (File, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.files[name]
	if f == nil {
		return nil, errs.New(errs.NotFound, "open %s: not found", name)
	}
	if more := size - int64(len(f.mem)); more > 0 {
		f.mem, f.first = append(f.mem, make([]byte, more)...), append(f.first, make([]byte, more)...)
	}
	mem := f.mem[:len(f.mem):len(f.mem)]
	return &daxFile{name: name, writable: writable, mem: mem, fl: tracer{t, name, f, mem}, unmap: func([]byte) error { return nil }}, nil
}

// List returns the files.
func (t *Traced) List() ([]Entry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []Entry
	for _, name := range slices.Sorted(maps.Keys(t.files)) {
		all = append(all, Entry{Name: name, Size: int64(len(t.files[name].mem))})
	}
	return all, nil
}

// Remove removes a name.
func (t *Traced) Remove(name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.files[name] == nil {
		return errs.New(errs.NotFound, "remove %s: not found", name)
	}
	delete(t.files, name)
	return nil
}

// Sync has nothing to do.
func (t *Traced) Sync() error { return nil }

// String names the directory.
func (t *Traced) String() string { return "traced" }
