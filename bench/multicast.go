package bench

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"dfs/ids"
)

// Multicast says which cases of multicast to measure.
type Multicast struct {
	Members   int
	Senders   []int // how many members send, case by case
	Sizes     []int // of messages, in bytes
	Window    int   // own messages in flight
	Ring      int   // bytes
	Time      time.Duration
	WarmUp    time.Duration
	Rounds    int    // all cases, so often; medians are told
	InProcess bool   // all members in this process, over shared memory
	Latency   bool   // measure the closed loop too
	Profile   string // a directory for CPU profiles; empty: none
	Fabric    string // between processes: tcp, the default, or verbs for an RDMA adapter of this machine

	// Worker starts a worker process; its streams are connected by the caller of Worker.
	Worker func(ctx context.Context) *exec.Cmd
	// Progress is told what is about to be measured.
	Progress func(text string)
}

// MulticastResult is one row.
type MulticastResult struct {
	Transport string `json:"transport"` // tcp: processes over TCP loopback; verbs: over an adapter; memory: one process
	Members   int    `json:"members"`
	Senders   int    `json:"senders"`
	Size      int    `json:"size"`
	Window    int    `json:"window"`
	// PerSecond counts delivered messages of all senders together on the slowest member's clock.
	PerSecond float64 `json:"messages_per_second"`
	BytesRate float64 `json:"bytes_per_second"`
	// Limit is what bare TCP between the same processes moves in bytes of messages, in the same run.
	Limit float64 `json:"limit_bytes_per_second,omitempty"`
	Ratio float64 `json:"ratio,omitempty"`
	// Batch is how many messages a member delivers in a step; CPU how many processors all members
	// together keep busy.
	Batch float64 `json:"batch"`
	CPU   float64 `json:"cpu"`
	// Cost is the CPU time of all members together for one message; LimitCost that of bare TCP for its bytes. On
	// a machine that is busy with other things they tell more than the rates.
	Cost      time.Duration `json:"cpu_per_message_ns"`
	LimitCost time.Duration `json:"limit_cpu_per_message_ns,omitempty"`
	// Closed is the time from sending to delivery at the sender, one message of each sender at a time, and
	// ClosedCost the CPU time of all members together for each. Bare is the same for a message sent to all others
	// over bare TCP, and their answers.
	Closed     *Percentiles  `json:"closed_loop,omitempty"`
	ClosedCost time.Duration `json:"closed_loop_cpu_per_message_ns,omitempty"`
	Bare       *Percentiles  `json:"bare_closed_loop,omitempty"`
	BareCost   time.Duration `json:"bare_closed_loop_cpu_per_message_ns,omitempty"`
}

// host runs one case on all members.
type host interface {
	run(load Load, raw bool, profile string) ([]Count, error)
	close() error
}

// Run measures all cases.
func (c Multicast) Run(ctx context.Context) ([]MulticastResult, error) {
	h, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	results, err := c.rounds(h)
	return results, errors.Join(err, h.close())
}

func (c Multicast) open(ctx context.Context) (host, error) {
	if c.InProcess {
		return &inProcess{}, nil
	}
	return startWorkers(ctx, c.Members, c.Worker, order{Do: "join", Fabric: c.Fabric})
}

// key names a case.
type key struct{ senders, size int }

// tally is what the rounds of one case brought.
type tally struct {
	open         []MulticastResult
	limits       []rate
	closed, bare loop
}

// loop sums up closed loops.
type loop struct {
	latency Histogram
	cpu     time.Duration
}

func (l *loop) add(counts []Count, oneProcess bool) {
	for i := range counts {
		l.latency.Merge(&counts[i].Latency)
		if i == 0 || !oneProcess {
			l.cpu += counts[i].CPU
		}
	}
}

func (l *loop) result() (*Percentiles, time.Duration) {
	p := l.latency.Percentiles()
	return &p, l.cpu / time.Duration(max(p.N, 1))
}

func (c Multicast) rounds(h host) ([]MulticastResult, error) {
	cases := map[key]*tally{}
	var all []MulticastResult
	for round := range c.Rounds {
		for _, senders := range c.Senders {
			for _, size := range c.Sizes {
				k := key{senders, size}
				if cases[k] == nil {
					cases[k] = &tally{}
				}
				c.Progress(fmt.Sprintf("round %d: %d of %d members send %s", round+1, senders, c.Members, SizeText(size)))
				if err := c.round(h, k, cases[k]); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, senders := range c.Senders {
		for _, size := range c.Sizes {
			all = append(all, c.row(cases[key{senders, size}]))
		}
	}
	return all, nil
}

// round measures one case, and beside it what it is compared to.
func (c Multicast) round(h host, k key, t *tally) error {
	load := Load{
		Members: c.Members, Senders: k.senders, Size: k.size, Window: c.Window, Ring: c.Ring, WarmUp: c.WarmUp, Time: c.Time,
	}
	if !c.InProcess {
		counts, err := h.run(load, true, "")
		if err != nil {
			return err
		}
		t.limits = append(t.limits, limit(load, counts))
	}
	counts, err := h.run(load, false, c.profileName(k, "open"))
	if err != nil {
		return err
	}
	t.open = append(t.open, c.sum(load, counts))
	if !c.Latency {
		return nil
	}
	load.Closed, load.Window = true, 1
	if !c.InProcess {
		if counts, err = h.run(load, true, ""); err != nil {
			return err
		}
		t.bare.add(counts, false)
	}
	if counts, err = h.run(load, false, c.profileName(k, "closed")); err != nil {
		return err
	}
	t.closed.add(counts, c.InProcess)
	return nil
}

// row makes the result of a case.
func (c Multicast) row(t *tally) MulticastResult {
	r := medianBy(t.open, func(r MulticastResult) float64 { return r.PerSecond })
	if t.limits != nil {
		median := medianBy(t.limits, func(r rate) float64 { return r.bytes })
		r.Limit, r.Ratio = median.bytes, r.BytesRate/median.bytes
		r.LimitCost = time.Duration(median.cpu / median.bytes * float64(r.Size) * 1e9)
	}
	if c.Latency {
		r.Closed, r.ClosedCost = t.closed.result()
	}
	if c.Latency && !c.InProcess {
		r.Bare, r.BareCost = t.bare.result()
	}
	return r
}

func (c Multicast) profileName(k key, what string) string {
	if c.Profile == "" {
		return ""
	}
	return filepath.Join(c.Profile, fmt.Sprintf("multicast-%s-%d-senders-%d-bytes", what, k.senders, k.size))
}

// rate is what bare TCP does in a second.
type rate struct{ bytes, cpu float64 }

// limit sums up bare TCP: each byte of a message is received by all members but its sender.
func limit(load Load, counts []Count) (r rate) {
	for _, n := range counts {
		r.bytes += float64(n.Delivered) / n.Elapsed.Seconds() / float64(load.Members-1)
		r.cpu += n.CPU.Seconds() / n.Elapsed.Seconds()
	}
	return r
}

// sum makes a row of what the members counted.
func (c Multicast) sum(load Load, counts []Count) MulticastResult {
	r := MulticastResult{Transport: "tcp", Members: load.Members, Senders: load.Senders, Size: load.Size, Window: load.Window}
	if c.InProcess {
		r.Transport = "memory"
	} else if c.Fabric != "" {
		r.Transport = c.Fabric
	}
	var delivered, steps uint64
	for i, n := range counts {
		rate := float64(n.Delivered) / n.Elapsed.Seconds()
		if i == 0 || rate < r.PerSecond {
			r.PerSecond = rate
		}
		delivered, steps = delivered+n.Delivered, steps+n.Steps
		if i == 0 || !c.InProcess {
			r.CPU += n.CPU.Seconds() / n.Elapsed.Seconds()
		}
	}
	r.BytesRate = r.PerSecond * float64(load.Size)
	r.Cost = time.Duration(r.CPU / max(r.PerSecond, 1) * 1e9)
	r.Batch = float64(delivered) / float64(max(steps, 1))
	return r
}

// inProcess runs all members in this process.
type inProcess struct{ view ids.ViewID }

func (h *inProcess) run(load Load, _ bool, profileName string) ([]Count, error) {
	h.view++
	members := make([]*member, load.Members)
	fabs := newMemory(load.Members, func(r ids.Rank) { members[r].bell.Ring() })
	for r := range members {
		var err error
		if members[r], err = newMember(load, ids.Rank(r), h.view, fabs[r]); err != nil {
			return nil, err
		}
	}
	stop, err := profile(profileName)
	if err != nil {
		return nil, err
	}
	counts, errs := make([]Count, load.Members), make([]error, load.Members)
	done := make(chan struct{})
	for r, m := range members {
		m.start()
		go func() {
			counts[r], errs[r] = m.measure()
			done <- struct{}{}
		}()
	}
	for range members {
		<-done
	}
	stop()
	for _, m := range members {
		m.close()
	}
	return counts, errors.Join(errs...)
}

func (h *inProcess) close() error { return nil }
