package node

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dfs/advice"
	"dfs/errs"
	"dfs/identity"
	"dfs/ids"
)

// A node is not taken out if those that are left and run could not go on.
func TestTooFewRun(t *testing.T) {
	d := newDoorman(t, "photos")
	d.cluster.nodes = append(d.cluster.nodes, identity.Peer{Node: 3, Addr: "127.0.0.1:3"})
	d.stop(2)
	if err := d.remove(t.Context(), 3); errs.KindOf(err) != errs.Unavailable || !strings.Contains(err.Error(), "[1] run and [2] do not: too few to go on") ||
		!strings.Contains(advice.Of(err), "dfs node remove") {
		t.Errorf("taking 3 out of 1, 2, 3: %v, hint %q", err, advice.Of(err))
	}
	if err := d.remove(t.Context(), 2); err != nil || !slices.Equal(d.cluster.ids(), []ids.NodeID{1, 3}) {
		t.Errorf("taking 2 out of 1, 2, 3: %v, %v", err, d.cluster.ids())
	}
}

// Keys that are damaged or missing are named, with what to do.
func TestDamagedKeys(t *testing.T) {
	c := Config{Data: filepath.Join(t.TempDir(), "data"), Listen: freeAddress(t)}
	if _, err := Init(c); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{authorityCrtName, authorityKeyName, nodeCrtName, nodeKeyName} {
		path := filepath.Join(c.Data, keysName, name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, broken := range []string{"", "x", string(whole[:len(whole)/2]), string(whole) + string(whole)} {
			if err := os.WriteFile(path, []byte(broken), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := loadCredentials(c.Data, time.Now); errs.KindOf(err) != errs.Corrupt || !strings.Contains(err.Error(), name) || advice.Of(err) == "" {
				t.Errorf("%s with %.10q: %v, hint %q", name, broken, err, advice.Of(err))
			}
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(c.Data, keysName, authorityKeyName)); err != nil {
		t.Fatal(err)
	}
	creds, err := loadCredentials(c.Data, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	a := &admission{creds: creds, clock: time.Now, roster: &roster{}}
	if _, err := a.newToken(time.Hour, 0); errs.KindOf(err) != errs.NotPermitted {
		t.Errorf("a token without the key: %v", err)
	}
}

// A node that moved is expected elsewhere; two cannot be at one address.
func TestMove(t *testing.T) {
	s := &assembly{nodes: []identity.Peer{{Node: 1, Addr: "a:1"}, {Node: 2, Addr: "b:1"}}}
	if err := moveNode(t.Context(), s.change, identity.Peer{Node: 2, Addr: "c:1"}); err != nil || s.nodes[1].Addr != "c:1" {
		t.Errorf("%v, %v", err, s.nodes)
	}
	if err := moveNode(t.Context(), s.change, identity.Peer{Node: 2, Addr: "a:1"}); errs.KindOf(err) != errs.Exists {
		t.Errorf("to another's address: %v", err)
	}
	if err := moveNode(t.Context(), s.change, identity.Peer{Node: 3, Addr: "d:1"}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("nobody: %v", err)
	}
}
