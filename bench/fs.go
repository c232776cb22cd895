package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// FS says what to measure of a filesystem: what programs do, through mounts.
type FS struct {
	Dirs    []string // directories in mounts of one filesystem; what needs another mount takes the next
	Only    []string // names of workloads; none: all
	Rounds  int      // medians are told
	Scale   float64  // of the amount of work, 1 by default
	DiskDir string   // a directory on the same disk for what is compared with; empty: compare with nothing
	Drop    bool     // before cold reads have the kernel drop all its caches, if it lets us; else those of the file

	// Pids are the processes that serve Dirs, if known: their CPU time is told too.
	Pids []int

	// Floor starts the process that runs Loopback from one directory to another.
	Floor    func(ctx context.Context, dir, mount string) *exec.Cmd
	Progress func(text string)
}

// FSResult is one row.
type FSResult struct {
	Name    string      `json:"name"`
	Unit    string      `json:"unit"` // of the rate
	Rate    float64     `json:"rate"` // the median of the rounds
	Rates   []float64   `json:"rates"`
	Latency Percentiles `json:"latency"`
	Stale   float64     `json:"stale,omitempty"` // share of first looks from another mount that saw what was before
	// CPU is the time of all processes that serve the filesystem, for one of what the rate counts.
	CPU   time.Duration `json:"cpu_ns,omitempty"`
	Floor *FSFloor      `json:"floor,omitempty"`
	Ratio float64       `json:"ratio,omitempty"` // of the rates
}

// FSFloor is the same on a plain loopback mount.
type FSFloor struct {
	Rate    float64       `json:"rate"`
	Rates   []float64     `json:"rates"`
	Latency Percentiles   `json:"latency"`
	CPU     time.Duration `json:"cpu_ns,omitempty"`
}

// place is a filesystem under test with its working directory, which every mount has.
type place struct {
	mounts []string
	work   string // in each mount
	made   string // what is to be removed
	pids   []int  // who serves it
	drop   bool
}

// at returns the working directory on mount i, counted around.
func (p *place) at(i int) string { return filepath.Join(p.mounts[i%len(p.mounts)], p.work) }

// outcome is what one run of a workload brought.
type outcome struct {
	rate    float64
	count   int           // what was done, in the workload's unit
	cpu     time.Duration // of those who serve
	latency Histogram
	looks   int // from another mount, for the first time
	stale   int // of these
}

// sum collects the outcomes of all rounds.
type sum struct {
	rates        []float64
	count        int
	cpu          time.Duration
	latency      Histogram
	looks, stale int
}

func (s *sum) add(o *outcome) {
	s.rates = append(s.rates, o.rate)
	s.count, s.cpu = s.count+o.count, s.cpu+o.cpu
	s.latency.Merge(&o.latency)
	s.looks, s.stale = s.looks+o.looks, s.stale+o.stale
}

func (s *sum) each() time.Duration { return s.cpu / time.Duration(max(s.count, 1)) }

func (s *sum) rate() float64 { return medianBy(s.rates, func(f float64) float64 { return f }) }

// Names returns the names of all workloads.
func Names() []string {
	var all []string
	for _, w := range workloads {
		all = append(all, w.name)
	}
	return all
}

// Run measures all workloads. Rounds take turns between what is measured and what it is compared with.
func (c FS) Run(ctx context.Context) (rows []FSResult, err error) {
	places := []*place{{mounts: c.Dirs, pids: c.Pids, drop: c.Drop}}
	defer func() {
		for _, p := range places {
			err = errors.Join(err, p.remove())
		}
	}()
	if c.DiskDir != "" {
		stop, mount, pid, err := c.startFloor(ctx)
		if err != nil {
			return nil, err
		}
		places = append(places, &place{mounts: []string{mount}, pids: []int{pid}, drop: c.Drop})
		defer func() { err = errors.Join(err, places[1].remove(), stop()) }()
	}
	chosen, err := c.choose()
	if err != nil {
		return nil, err
	}
	sums := make([][2]sum, len(chosen))
	for round := range c.Rounds {
		for _, p := range places {
			if err := p.make(); err != nil {
				return nil, err
			}
		}
		for i, w := range chosen {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			c.Progress(fmt.Sprintf("round %d: %s", round+1, w.name))
			for k := range places {
				k = (k + round) % len(places)
				o, err := w.measure(places[k], c.Scale)
				if err != nil {
					return nil, fmt.Errorf("%s in %s: %w", w.name, places[k].mounts[0], err)
				}
				sums[i][k].add(o)
			}
		}
		for _, p := range places {
			if err := p.remove(); err != nil {
				return nil, err
			}
		}
	}
	for i, w := range chosen {
		rows = append(rows, w.row(&sums[i], len(places) > 1))
	}
	return rows, nil
}

// choose returns the workloads that were asked for, and those that leave files for them.
func (c FS) choose() ([]*workload, error) {
	for _, name := range c.Only {
		if !slices.Contains(Names(), name) {
			return nil, fmt.Errorf("no workload %q", name)
		}
	}
	wanted := func(name string) bool { return len(c.Only) == 0 || slices.Contains(c.Only, name) }
	var chosen []*workload
	for i := range workloads {
		w := &workloads[i]
		needed := wanted(w.name)
		for _, later := range workloads[i+1:] {
			needed = needed || wanted(later.name) && slices.Contains(later.needs, w.name)
		}
		if needed {
			chosen = append(chosen, w)
		}
	}
	return chosen, nil
}

func (w *workload) row(s *[2]sum, compared bool) FSResult {
	r := FSResult{Name: w.name, Unit: w.unit, Rate: s[0].rate(), Rates: s[0].rates, Latency: s[0].latency.Percentiles(), CPU: s[0].each()}
	if s[0].looks > 0 {
		r.Stale = float64(s[0].stale) / float64(s[0].looks)
	}
	if compared {
		r.Floor = &FSFloor{Rate: s[1].rate(), Rates: s[1].rates, Latency: s[1].latency.Percentiles(), CPU: s[1].each()}
		r.Ratio = r.Rate / r.Floor.Rate
	}
	return r
}

// make makes a new working directory.
func (p *place) make() error {
	dir, err := os.MkdirTemp(p.mounts[0], "dfs-bench-")
	if err != nil {
		return err
	}
	p.made, p.work = dir, filepath.Base(dir)
	for _, m := range p.mounts[1:] {
		if _, err := os.Stat(filepath.Join(m, p.work)); err != nil {
			return fmt.Errorf("%s and %s are not mounts of one filesystem: %w", p.mounts[0], m, err)
		}
	}
	return nil
}

// remove removes the working directory (B5).
func (p *place) remove() error {
	if p.made == "" {
		return nil
	}
	made := p.made
	p.made = ""
	return os.RemoveAll(made)
}

// startFloor mounts a directory of the disk through a process of its own.
func (c FS) startFloor(ctx context.Context) (stop func() error, mount string, pid int, err error) {
	top, err := os.MkdirTemp(c.DiskDir, "dfs-bench-floor-")
	if err != nil {
		return nil, "", 0, err
	}
	dir := filepath.Join(top, "files")
	mount = filepath.Join(top, "mount")
	err = errors.Join(os.Mkdir(dir, 0o700), os.Mkdir(mount, 0o700))
	cmd := c.Floor(ctx, dir, mount)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err = errors.Join(err, err1, err2); err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, "", 0, errors.Join(err, os.RemoveAll(top))
	}
	stop = func() error {
		_ = in.Close()
		err := cmd.Wait()
		// What is mounted must not be removed through the mount.
		return errors.Join(err, os.Remove(mount), os.RemoveAll(dir), os.Remove(top))
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return nil, "", 0, errors.Join(errors.New("the loopback filesystem did not start"), stop())
	}
	return stop, mount, cmd.Process.Pid, nil
}

// measure runs a workload once.
func (w *workload) measure(p *place, scale float64) (*outcome, error) {
	r := &run{place: p, scale: scale}
	cpu := cpuTimeOf(p.pids)
	if err := w.fn(r); err != nil {
		return nil, err
	}
	r.cpu = cpuTimeOf(p.pids) - cpu
	if r.count > 0 {
		r.rate = float64(r.count) / r.elapsed.Seconds()
	}
	return &r.outcome, nil
}

// run is one run of a workload.
type run struct {
	outcome
	*place
	scale   float64
	elapsed time.Duration
}

// n scales an amount of work.
func (r *run) n(full int) int { return max(int(float64(full)*r.scale), 4) }

// time runs fn and counts what it did.
func (r *run) time(count int, fn func() error) error {
	start := time.Now()
	err := fn()
	r.elapsed += time.Since(start)
	r.count += count
	return err
}

// each does something so many times and notes how long each took.
func (r *run) each(times int, fn func(i int) error) error {
	return r.time(times, func() error {
		for i := range times {
			start := time.Now()
			if err := fn(i); err != nil {
				return err
			}
			r.latency.Add(time.Since(start))
		}
		return nil
	})
}
