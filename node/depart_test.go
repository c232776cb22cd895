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

// The configuration is not changed into one that could not go on with the nodes that run.
func TestTooFewRun(t *testing.T) {
	d := newDoorman(t, "photos")
	d.down = []ids.NodeID{2}
	_, err := Join(t.Context(), d.token(t, 0), joiner(t))
	if err != nil {
		t.Errorf("1 and 3 of 1, 2, 3: %v", err)
	}
	d.down = []ids.NodeID{2, 3, 4}
	token, c := d.token(t, 0), joiner(t)
	_, err = Join(t.Context(), token, c)
	if errs.KindOf(err) != errs.Unavailable || !strings.Contains(err.Error(), "[1] run and [2 3 4] do not: too few to go on") ||
		!strings.Contains(advice.Of(err), "dfs node remove") {
		t.Errorf("1 of 1, 2, 3, 4: %v, hint %q", err, advice.Of(err))
	}
	d.down = []ids.NodeID{2, 4}
	if err := d.remove(t.Context(), 3); errs.KindOf(err) != errs.Unavailable || !strings.Contains(err.Error(), "[1] run and [2] do not") {
		t.Errorf("taking 3 out of 1, 2, 3: %v", err)
	}
	if err := d.remove(t.Context(), 2); err != nil || !slices.Equal(d.cluster.ids(), []ids.NodeID{1, 3}) {
		t.Errorf("taking 2 out of 1, 2, 3: %v, %v", err, d.cluster.ids())
	}
	if _, err := Join(t.Context(), token, c); err != nil {
		t.Errorf("with the token that was refused before: %v", err)
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
	a := &admission{creds: creds, clock: time.Now}
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
