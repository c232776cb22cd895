package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Replication says what to measure of whole engines: operations through rings, log and index of all members,
// without a mount. Each operation writes some bytes of a file.
type Replication struct {
	Members int
	Size    int    // bytes of a write
	Clients []int  // of the one member that they are at, case by case
	Window  int    // of the pipelined case
	Dir     string // for logs and indexes; everything in it is removed
	Time    time.Duration
	WarmUp  time.Duration
	Rounds  int
	Profile string // a directory for CPU profiles; empty: none

	Worker   func(ctx context.Context) *exec.Cmd // starts a worker process
	Progress func(text string)
}

// ReplicationResult is one row.
type ReplicationResult struct {
	Case      string      `json:"case"`
	Clients   int         `json:"clients"`
	Window    int         `json:"window"`
	Sync      bool        `json:"sync"`
	Size      int         `json:"size"`
	PerSecond float64     `json:"operations_per_second"` // applied by the slowest member
	CPU       float64     `json:"cpu"`                   // processors that all members together keep busy
	Latency   Percentiles `json:"latency"`
	// Bare is the same with one client, bare TCP and, with Sync, a synced file at each member.
	Bare *Percentiles `json:"bare,omitempty"`
}

// replicationCase is one row to be.
type replicationCase struct {
	name string
	load Load
	rows []ReplicationResult
	all  loop
	bare loop
}

func (c Replication) cases() []*replicationCase {
	var all []*replicationCase
	add := func(name string, clients, window int, sync bool) {
		all = append(all, &replicationCase{name: name, load: Load{
			Members: c.Members, Senders: 1, Size: c.Size, Clients: clients, Window: window, Sync: sync,
			Ring: 16 << 20, WarmUp: c.WarmUp, Time: c.Time, Closed: true,
		}})
	}
	for _, sync := range []bool{false, true} {
		for _, n := range c.Clients {
			add(fmt.Sprintf("%d closed loops", n), n, 1, sync)
		}
	}
	add("pipelined", 1, c.Window, false)
	return all
}

// Run measures all cases.
func (c Replication) Run(ctx context.Context) (_ []ReplicationResult, err error) {
	dir, err := os.MkdirTemp(c.Dir, "dfs-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	w, err := startWorkers(ctx, c.Members, c.Worker, order{Do: "engine", Dir: dir})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	cases := c.cases()
	for round := range c.Rounds {
		for i, k := range cases {
			c.Progress(fmt.Sprintf("round %d: %s%s", round+1, k.name, map[bool]string{true: ", synced"}[k.load.Sync]))
			if err := c.round(w, k, i); err != nil {
				return nil, err
			}
		}
	}
	var rows []ReplicationResult
	for _, k := range cases {
		r := medianBy(k.rows, func(r ReplicationResult) float64 { return r.PerSecond })
		r.Latency = k.all.latency.Percentiles()
		if k.bare.latency.Count() > 0 {
			p := k.bare.latency.Percentiles()
			r.Bare = &p
		}
		rows = append(rows, r)
	}
	return rows, nil
}

func (c Replication) round(w *workers, k *replicationCase, number int) error {
	if k.load.Clients == 1 && k.load.Window == 1 {
		counts, err := w.run(k.load, true, "")
		if err != nil {
			return err
		}
		k.bare.add(counts, false)
	}
	profile := ""
	if c.Profile != "" {
		profile = filepath.Join(c.Profile, fmt.Sprintf("replication-%d", number+1))
	}
	counts, err := w.run(k.load, false, profile)
	if err != nil {
		return err
	}
	k.all.add(counts, false)
	m := Multicast{}.sum(k.load, counts)
	k.rows = append(k.rows, ReplicationResult{
		Case: k.name, Clients: k.load.Clients, Window: k.load.Window, Sync: k.load.Sync, Size: k.load.Size,
		PerSecond: m.PerSecond, CPU: m.CPU,
	})
	return nil
}
