package node

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"dfs/errs"
	"dfs/identity"
	"dfs/ids"
	"dfs/views"
)

// rosterName is the file of what a node remembers of the others beside the configuration.
const rosterName = "roster"

// roster is who belongs to the cluster and where they listen, and what must be remembered of those that do not
// belong to it any more.
type roster struct {
	self  ids.NodeID
	fixed map[ids.NodeID]string // addresses of this node's configuration file, which win
	path  string

	mu    sync.Mutex
	nodes []identity.Peer // the configured nodes, this one included, ascending; guarded by mu
	past  past            // guarded by mu
}

// past is what is stored.
type past struct {
	// Issues says of each node when the latest certificate seen of it was issued, in unix seconds.
	Issues map[ids.NodeID]int64 `json:"issues,omitempty"`
}

// newRoster reads what was stored; nodes is the configuration as far as it is known.
func newRoster(data string, self ids.NodeID, nodes []identity.Peer, fixed map[ids.NodeID]string) (*roster, error) {
	r := &roster{self: self, fixed: fixed, path: filepath.Join(data, rosterName)}
	text, err := os.ReadFile(r.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errs.Wrap(errs.IO, err, "read the roster")
	}
	if err == nil {
		if err := json.Unmarshal(text, &r.past); err != nil {
			return nil, damaged(r.path)
		}
	}
	if r.past.Issues == nil {
		r.past.Issues = map[ids.NodeID]int64{}
	}
	r.set(nodes)
	return r, nil
}

// set replaces the configuration.
func (r *roster) set(nodes []identity.Peer) {
	nodes = slices.Clone(nodes)
	slices.SortFunc(nodes, func(a, b identity.Peer) int { return int(int64(a.Node) - int64(b.Node)) })
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range nodes {
		if addr := r.fixed[nodes[i].Node]; addr != "" {
			nodes[i].Addr = addr
		}
	}
	r.nodes = nodes
}

// all returns the configured nodes.
func (r *roster) all() []identity.Peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.nodes)
}

// configured returns the configured nodes as the membership wants them.
func (r *roster) configured() []views.Peer {
	var all []views.Peer
	for _, p := range r.all() {
		all = append(all, views.Peer(p))
	}
	return all
}

// others returns where the other nodes listen.
func (r *roster) others() map[ids.NodeID]string {
	others := map[ids.NodeID]string{}
	for _, p := range r.all() {
		if p.Node != r.self {
			others[p.Node] = p.Addr
		}
	}
	return others
}

// accept checks a name that a certificate proves against what was seen before.
func (r *roster) accept(name identity.Name) error {
	r.mu.Lock()
	last := r.past.Issues[name.Node]
	if name.Issue > last {
		r.past.Issues[name.Node] = name.Issue
	}
	r.mu.Unlock()
	switch {
	case name.Issue < last:
		return errs.New(errs.AccessDenied, "node %d was replaced at %s: this is the one that it replaced; stop it and keep it off",
			name.Node, time.Unix(last, 0).UTC().Format(time.RFC3339))
	case name.Issue > last:
		return r.save()
	}
	return nil
}

// save stores the past.
func (r *roster) save() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	text, err := json.Marshal(r.past)
	if err != nil {
		return errs.Wrap(errs.Invalid, err, "encode the roster")
	}
	return replaceFile(r.path, append(text, '\n'))
}
