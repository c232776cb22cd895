package node

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"dfs/errs"
	"dfs/identity"
	"dfs/ids"
)

// Who was replaced outlives the process.
func TestRoster(t *testing.T) {
	dir := t.TempDir()
	open := func() *roster {
		t.Helper()
		r, err := newRoster(dir, 1, []identity.Peer{{Node: 2, Addr: "b"}, {Node: 1, Addr: "a"}}, map[ids.NodeID]string{2: "moved"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := open()
	if want := []identity.Peer{{Node: 1, Addr: "a"}, {Node: 2, Addr: "moved"}}; !reflect.DeepEqual(r.all(), want) {
		t.Errorf("nodes %v", r.all())
	}
	if others := r.others(); !reflect.DeepEqual(others, map[ids.NodeID]string{2: "moved"}) {
		t.Errorf("others %v", others)
	}
	if err := r.accept(identity.Name{Cluster: "c", Node: 2, Issue: 200}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		issue int64
		ok    bool
	}{{199, false}, {200, true}, {201, true}, {200, false}} {
		if err := open().accept(identity.Name{Cluster: "c", Node: 2, Issue: c.issue}); (err == nil) != c.ok ||
			err != nil && !strings.Contains(err.Error(), "node 2 was replaced at 1970-01-01T00:03:2") {
			t.Errorf("issued at %d: %v", c.issue, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, rosterName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newRoster(dir, 1, nil, nil); errs.KindOf(err) != errs.Corrupt {
		t.Errorf("damaged: %v", err)
	}
}
