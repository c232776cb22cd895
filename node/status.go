package node

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"dfs/advice"
	"dfs/control"
	"dfs/errs"
	"dfs/identity"
	"dfs/ids"
	"dfs/shards"
	"dfs/versionlog"
)

// statusPatience is how long the engine may take to say how it is: it may be busy, but it is never blocked for long.
const statusPatience = 2 * time.Second

// answer answers on the control socket.
func (n *instance) answer(ctx context.Context, req control.Request) (control.Response, error) {
	if req.Command == control.CommandStop {
		n.stop()
	} else if req.Command != control.CommandStatus && !n.isReady() {
		return control.Response{}, advice.Add(errs.New(errs.Unavailable, "the node is starting"), "try again when it serves: dfs status")
	}
	switch req.Command {
	case control.CommandToken:
		return n.makeToken(req)
	case control.CommandRemove:
		return control.Response{}, n.removeOther(ctx, req)
	case control.CommandMove:
		return control.Response{}, n.move(ctx, identity.Peer{Node: req.Node, Addr: req.Address})
	case control.CommandLeave:
		return control.Response{}, n.askToLeave(ctx)
	case control.CommandScrub:
		return n.scrub(req)
	}
	st, err := n.status(ctx)
	if err != nil {
		return control.Response{}, err
	}
	return control.Response{Status: st}, nil
}

// isReady reports whether the engine and what it rests on are there.
func (n *instance) isReady() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ready
}

// scrubPart is about how much of the log one request verifies, in bytes.
const scrubPart = 64 << 20

// scrub answers control.CommandScrub.
func (n *instance) scrub(req control.Request) (control.Response, error) {
	s, err := n.engine.Scrub(versionlog.LSN(req.From), scrubPart)
	return control.Response{Scrub: &control.Scrub{
		Next: uint64(s.Next), Done: s.Done, Records: s.Records, Bytes: s.Bytes, Repaired: s.Repaired, Damaged: s.Damaged,
	}}, err
}

// status collects all that the node tells about itself.
func (n *instance) status(ctx context.Context) (*control.Status, error) {
	n.mu.Lock()
	phase, ready := n.phase, n.ready
	n.mu.Unlock()
	st := &control.Status{
		Node: n.cfg.ID, Cluster: n.cfg.Cluster, Phase: phase, PID: os.Getpid(), Program: n.program,
		Incarnation: n.data.Incarnation, Started: n.began, Now: n.clock(), Mount: n.cfg.Mount, Data: n.data.Path,
		Listen: n.cfg.Listen, Consistency: n.cfg.Consistency, Memory: memory(),
		Members: []control.Member{}, Nodes: []control.Node{}, Subgroups: []control.Subgroup{}, Groups: []control.Group{},
	}
	n.addIdentity(st)
	if !ready {
		return st, nil
	}
	if phase == control.Waiting {
		st.Reason = n.waitingFor()
	}
	addLinks(st, n.fab)
	st.Log.Bytes, st.Log.Segments = n.vlog.Size()
	st.Log.Storage = n.storage
	st.Log.End, st.Log.Durable = uint64(n.vlog.End()), uint64(n.vlog.Durable())
	_, free := n.space.sizes()
	st.Log.Free = int64(free)
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	engine, err := n.engine.Status(ctx)
	if err != nil {
		return st, nil // it is about to stop; the rest is still worth knowing
	}
	n.addEngine(st, &engine)
	return st, nil
}

// addIdentity fills in who belongs to the cluster, and how they talk.
func (n *instance) addIdentity(st *control.Status) {
	for _, p := range n.roster.all() {
		st.Nodes = append(st.Nodes, control.Node{Node: p.Node, Address: p.Addr, Connected: p.Node == n.cfg.ID || n.links.connected(p.Node)})
	}
	if n.cfg.Listen != "" {
		st.Links = control.LinksPlain
	}
	if n.creds != nil {
		until := n.creds.Certificate().NotAfter
		st.Certificate = &until
		if !n.data.whose.Insecure {
			st.Links = control.LinksTLS
		}
	}
}

// addEngine fills in what the engine knows.
func (n *instance) addEngine(st *control.Status, engine *shards.Status) {
	if !engine.Open && st.Phase == control.Serving {
		st.Phase, st.Reason = control.Waiting, n.waitingFor() // mounted, but calls wait
	}
	addresses := n.roster.others()
	addresses[n.cfg.ID] = n.cfg.Listen
	st.View = engine.View.ID
	for _, m := range engine.View.Members {
		st.Members = append(st.Members, control.Member{
			Node: m.Node, Address: addresses[m.Node], Connected: m.Node == n.cfg.ID || n.links.connected(m.Node),
		})
	}
	for i := range st.Nodes {
		st.Nodes[i].InView = engine.View.Rank(st.Nodes[i].Node) >= 0
	}
	if n.admission != nil {
		for _, p := range n.admission.expected() {
			st.Nodes = append(st.Nodes, control.Node{Node: p.Node, Address: p.Addr, Connected: n.links.connected(p.Node), Expected: true})
		}
	}
	for _, g := range engine.Groups {
		st.Groups = append(st.Groups, control.Group{
			Group: g.Group, Pending: g.Pending, Rings: []control.Ring{{Sender: n.cfg.ID, Used: int64(g.RingUsed), Size: int64(g.RingBytes)}},
		})
		for _, s := range g.Subgroups {
			st.Subgroups = append(st.Subgroups, control.Subgroup{
				Subgroup: s, Name: subgroupName(s), Group: g.Group,
				Replicas: engine.Subs[s].Keepers, Gaining: engine.Subs[s].Gaining,
				Delivered: g.Version.String(), Persisted: g.Durable.String(), Frontier: g.Frontier,
			})
		}
		if g.Stalled {
			st.Reason = "the log has no room: free space on the disk of " + n.data.Path
		}
	}
	if engine.Fetches != 0 && st.Reason == "" {
		st.Reason = fmt.Sprintf("fetching what it missed from node %d", engine.Fetches)
	}
}

// waitingFor says in words why the node does not serve yet.
func (n *instance) waitingFor() string {
	if trouble := n.links.trouble(); trouble != "" {
		return trouble
	}
	return "agreeing with the other nodes on where to go on"
}

// subgroupName is what people call a subgroup.
func subgroupName(s ids.Subgroup) string {
	if s == ids.Namespace {
		return "namespace"
	}
	return "data " + strconv.Itoa(int(s))
}

// memory looks at this process.
func memory() control.Memory {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(heap)
	m := control.Memory{Heap: int64(heap[0].Value.Uint64()), Limit: debug.SetMemoryLimit(-1)}
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := strings.Fields(string(text)); len(fields) > 1 {
			pages, _ := strconv.ParseInt(fields[1], 10, 64)
			m.Resident = pages * int64(os.Getpagesize())
		}
	}
	return m
}
