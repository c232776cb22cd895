package node

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dfs/advice"
	"dfs/errs"
	"dfs/identity"
	"dfs/ids"
)

// assembly is a cluster that consists of its configuration.
type assembly struct {
	mu    sync.Mutex
	nodes []identity.Peer
	err   error // what a change fails with
	// meanwhile, if set, happens between the first call of a change and its second.
	meanwhile func([]identity.Peer) []identity.Peer
	changes   int
}

func (s *assembly) change(_ context.Context, change func([]identity.Peer) []identity.Peer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	after := change(slices.Clone(s.nodes))
	if s.meanwhile != nil {
		s.nodes = s.meanwhile(s.nodes)
		s.meanwhile = nil
		after = change(slices.Clone(s.nodes))
	}
	if !slices.Equal(after, s.nodes) {
		s.changes++
	}
	s.nodes = after
	return nil
}

func (s *assembly) ids() (all []ids.NodeID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.nodes {
		all = append(all, p.Node)
	}
	return all
}

// doorman is node 1 of a cluster as those see it who want to join.
type doorman struct {
	*admission
	cluster *assembly
	serving atomic.Pointer[admission]
	met     []identity.Peer
	down    []ids.NodeID // those that do not run
	ahead   atomic.Int64 // of the clock, in nanoseconds

	mu  sync.Mutex
	log strings.Builder // guarded by mu
}

func (d *doorman) now() time.Time { return time.Now().Add(time.Duration(d.ahead.Load())) }

func (d *doorman) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Write(p)
}

func (d *doorman) logged() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

var second = identity.Peer{Node: 2, Addr: "127.0.0.1:2"}

// newDoorman makes a cluster and lets its first node answer.
func newDoorman(t *testing.T, cluster string) *doorman {
	t.Helper()
	made, err := Init(Config{Cluster: cluster, Data: filepath.Join(t.TempDir(), "data"), Listen: freeAddress(t)})
	if err != nil {
		t.Fatal(err)
	}
	// A second node is there, which does not have to do anything.
	d := &doorman{cluster: &assembly{nodes: append(made.Nodes, second)}}
	d.restart(t, made.Config)
	l, err := net.Listen("tcp", made.Config.Listen)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer nc.Close()
				a := d.serving.Load()
				secured, err := a.creds.Secure(context.Background(), nc, 0)
				if err == nil && identity.Joining(secured) {
					a.serve(context.Background(), secured)
				}
			})
		}
	})
	return d
}

// restart reads from disk all that the node knows.
func (d *doorman) restart(t *testing.T, c Config) {
	t.Helper()
	creds, err := loadCredentials(c.Data, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRoster(c.Data, 1, d.cluster.nodes, nil)
	if err != nil {
		t.Fatal(err)
	}
	d.admission = &admission{
		creds: creds, roster: r, data: c.Data, listen: c.Listen, shards: 4, replicas: 3, clock: d.now,
		log: slog.New(slog.NewTextHandler(d, nil)), change: d.cluster.change,
		meet: func(p identity.Peer) { d.met = append(d.met, p) },
		runs: func(id ids.NodeID) bool { return !slices.Contains(d.down, id) },
	}
	if err := d.load(); err != nil {
		t.Fatal(err)
	}
	d.serving.Store(d.admission)
}

func (d *doorman) token(t *testing.T, replace ids.NodeID) string {
	t.Helper()
	text, err := d.newToken(time.Hour, replace)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// joiner is the configuration of one that wants in.
func joiner(t *testing.T) Config {
	t.Helper()
	return Config{Data: filepath.Join(t.TempDir(), "data"), Listen: freeAddress(t)}
}

// A node comes in with a token, and has then all that it needs to start.
func TestJoin(t *testing.T) {
	d := newDoorman(t, "photos")
	c := joiner(t)
	made, err := Join(t.Context(), d.token(t, 0), c)
	if err != nil {
		t.Fatal(err)
	}
	want := []identity.Peer{{Node: 1, Addr: d.listen}, second, {Node: 3, Addr: c.Listen}}
	if made.Config.ID != 3 || !reflect.DeepEqual(made.Nodes, want) || !reflect.DeepEqual(d.cluster.nodes, want) {
		t.Errorf("node %d, nodes %v, configuration %v", made.Config.ID, made.Nodes, d.cluster.nodes)
	}
	written, err := ReadConfig(filepath.Join(c.Data, ConfigName))
	if err != nil {
		t.Fatal(err)
	}
	dir := mustOpen(t, written.withDefaults())
	dir.Close()
	if got := dir.whose.nodes(); !reflect.DeepEqual(got, want) || dir.Shards != 4 {
		t.Errorf("the directory says %v, %d shards", got, dir.Shards)
	}
	creds, err := loadCredentials(c.Data, time.Now)
	if err != nil || creds.Name.Node != 3 || creds.Name.Cluster != "photos" || creds.Authority.Key == nil {
		t.Errorf("credentials %+v, %v", creds, err)
	}
	for path, mode := range map[string]os.FileMode{
		"": 0o700, keysName: 0o700, keysName + "/" + nodeKeyName: 0o600, keysName + "/" + authorityKeyName: 0o600,
	} {
		if st, err := os.Stat(filepath.Join(c.Data, path)); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, st.Mode(), err)
		}
	}
	if !strings.Contains(d.logged(), `msg="let a node in" new=3`) {
		t.Errorf("logged %s", d.logged())
	}
	if _, err := Init(written); errs.KindOf(err) != errs.Exists || !strings.Contains(err.Error(), `is the data directory of node 3 of cluster "photos" already`) {
		t.Errorf("made again: %v", err)
	}
}

// The second node comes into the configuration when it runs: before that the first could not go on without it.
func TestSecondNode(t *testing.T) {
	d := newDoorman(t, "photos")
	d.cluster.nodes = d.cluster.nodes[:1]
	d.roster.past.Highest = 1
	c, token := joiner(t), d.token(t, 0)
	for range 2 {
		made, err := Join(t.Context(), token, c)
		if err != nil || made.Config.ID != 2 || len(made.Nodes) != 2 {
			t.Fatalf("%+v, %v", made, err)
		}
		if err := os.Remove(filepath.Join(c.Data, identityName)); err != nil { // as if the answer had been lost
			t.Fatal(err)
		}
	}
	me := identity.Peer{Node: 2, Addr: c.Listen}
	if d.cluster.changes != 0 || !slices.Equal(d.met, []identity.Peer{me, me}) || !slices.Equal(d.expected(), []identity.Peer{me}) {
		t.Errorf("%d changes, met %v, expected %v", d.cluster.changes, d.met, d.expected())
	}
	d.restart(t, Config{Data: d.data, Listen: d.listen})
	if !slices.Equal(d.expected(), []identity.Peer{me}) {
		t.Errorf("after a restart: expected %v", d.expected())
	}
	d.cluster.err = errs.New(errs.Unavailable, "not caught up")
	if err := d.usher(t.Context(), me); errs.KindOf(err) != errs.Unavailable || len(d.expected()) != 1 {
		t.Errorf("not caught up: %v, expected %v", err, d.expected())
	}
	d.cluster.err = nil
	if err := d.usher(t.Context(), me); err != nil || len(d.expected()) != 0 || !slices.Equal(d.cluster.ids(), []ids.NodeID{1, 2}) {
		t.Errorf("%v, expected %v, nodes %v", err, d.expected(), d.cluster.ids())
	}
}

// Who is refused is told why and what to do, it is logged, and nothing changes.
func TestJoinRefused(t *testing.T) {
	d, other := newDoorman(t, "photos"), newDoorman(t, "photos")
	used := d.token(t, 0)
	if _, err := Join(t.Context(), used, joiner(t)); err != nil {
		t.Fatal(err)
	}
	parse := func(text string) identity.Token {
		tok, err := identity.ParseToken(text)
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	forged := parse(d.token(t, 0))
	forged.Secret = identity.NewSecret()
	foreign := parse(other.token(t, 0))
	foreign.Addresses = []string{d.listen} // another cluster's token, shown here
	d.ahead.Store(int64(-2 * time.Hour))
	old := d.token(t, 0)
	longer := parse(old)
	longer.Expires = time.Now().Add(time.Hour) // changed by who has it
	d.ahead.Store(0)
	gone := parse(d.token(t, 0))
	gone.Addresses = []string{freeAddress(t)}
	for what, c := range map[string]struct {
		token, want, hint string
		logged            string
	}{
		"used":     {used, "the token was used at", "dfs token create", "the token was used at"},
		"forged":   {forged.Encode(), "has made no such token", "dfs token create", "has made no such token"},
		"expired":  {old, "the token expired at", "dfs token create", ""},
		"changed":  {longer.Encode(), "the token expired at", "dfs token create", "the token expired at"},
		"foreign":  {foreign.Encode(), "does not belong to the cluster of the token", "dfs token create", ""},
		"damaged":  {used[:len(used)-3], "the token is damaged", "copy the whole line", ""},
		"nonsense": {"dfs", "this is no token", "copy the whole line", ""},
		"nobody":   {gone.Encode(), "connection refused", "is the node that made the token running", ""},
	} {
		config := joiner(t)
		_, err := Join(t.Context(), c.token, config)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(advice.Of(err), c.hint) {
			t.Errorf("%s: %v, hint %q", what, err, advice.Of(err))
		}
		if _, err := readIdentity(config.Data); errs.KindOf(err) != errs.NotFound {
			t.Errorf("ND7: %s: the directory became one of dfs: %v", what, err)
		}
		if !strings.Contains(d.logged(), c.logged) {
			t.Errorf("%s: not logged:\n%s", what, d.logged())
		}
	}
	if got := d.cluster.ids(); !slices.Equal(got, []ids.NodeID{1, 2, 3}) {
		t.Errorf("the cluster has the nodes %v", got)
	}
}

// ND7: a join that is interrupted, wherever, is done again with the same token, and only one node comes of it.
func TestJoinAgain(t *testing.T) {
	d := newDoorman(t, "photos")
	token, c := d.token(t, 0), joiner(t)
	d.cluster.err = errs.New(errs.Unavailable, "no majority")
	if _, err := Join(t.Context(), token, c); errs.KindOf(err) != errs.Unavailable || !strings.Contains(err.Error(), "no majority") {
		t.Fatalf("without a majority: %v", err)
	}
	d.cluster.err = nil
	for range 2 {
		made, err := Join(t.Context(), token, c)
		if err != nil || made.Config.ID != 3 {
			t.Fatalf("again: %+v, %v", made, err)
		}
		if err := os.Remove(filepath.Join(c.Data, identityName)); err != nil { // as if the answer had been lost
			t.Fatal(err)
		}
		d.restart(t, Config{Data: d.data, Listen: d.listen})
	}
	if d.cluster.changes != 1 {
		t.Errorf("the configuration changed %d times", d.cluster.changes)
	}
	// The same token on another machine is a stolen one.
	if _, err := Join(t.Context(), token, joiner(t)); errs.KindOf(err) != errs.AccessDenied {
		t.Errorf("another key: %v", err)
	}
	// And it does not bring back a node that was removed.
	if err := d.remove(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	d.roster.set(d.cluster.nodes)
	if _, err := Join(t.Context(), token, c); errs.KindOf(err) != errs.AccessDenied || !strings.Contains(err.Error(), "has left the cluster") {
		t.Errorf("after it was removed: %v", err)
	}
}

// ND6: numbers are not given twice, also not when two nodes let others in at once, or to make up for one that left.
func TestNumbers(t *testing.T) {
	d := newDoorman(t, "photos")
	join := func() ids.NodeID {
		t.Helper()
		made, err := Join(t.Context(), d.token(t, 0), joiner(t))
		if err != nil {
			t.Fatal(err)
		}
		return made.Config.ID
	}
	if n := join(); n != 3 {
		t.Errorf("ND6: the third is node %d", n)
	}
	d.cluster.meanwhile = func(now []identity.Peer) []identity.Peer {
		return append(now, identity.Peer{Node: 4, Addr: "127.0.0.1:1"})
	}
	if n := join(); n != 5 {
		t.Errorf("ND6: beside another one: node %d", n)
	}
	for _, n := range []ids.NodeID{4, 5} {
		if err := d.remove(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	d.restart(t, Config{Data: d.data, Listen: d.listen})
	if n := join(); n != 6 {
		t.Errorf("ND6: after the last ones left: node %d", n)
	}
	if err := d.roster.raise(9); err != nil { // heard from a peer
		t.Fatal(err)
	}
	if n := join(); n != 10 {
		t.Errorf("ND6: after another node gave 9 away: node %d", n)
	}
	if err := d.remove(t.Context(), 77); errs.KindOf(err) != errs.NotFound {
		t.Errorf("removing nobody: %v", err)
	}
	d.cluster.nodes = d.cluster.nodes[:1]
	if err := d.remove(t.Context(), 1); errs.KindOf(err) != errs.NotPermitted {
		t.Errorf("removing the last: %v", err)
	}
}

// A node that lost its disk comes back under its number; what it was is refused from then on.
func TestReplace(t *testing.T) {
	d := newDoorman(t, "photos")
	lost := joiner(t)
	if _, err := Join(t.Context(), d.token(t, 0), lost); err != nil {
		t.Fatal(err)
	}
	before, err := loadCredentials(lost.Data, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	d.ahead.Store(int64(5 * time.Second))
	fresh := joiner(t)
	made, err := Join(t.Context(), d.token(t, 3), fresh)
	if err != nil || made.Config.ID != 3 {
		t.Fatalf("%+v, %v", made, err)
	}
	want := []identity.Peer{{Node: 1, Addr: d.listen}, second, {Node: 3, Addr: fresh.Listen}}
	if !reflect.DeepEqual(d.cluster.nodes, want) || d.cluster.changes != 3 {
		t.Errorf("configuration %v after %d changes: it must go before it comes", d.cluster.nodes, d.cluster.changes)
	}
	if err := d.roster.accept(before.Name); err == nil || !strings.Contains(err.Error(), "node 3 was replaced") {
		t.Errorf("its former self: %v", err)
	}
	after, err := loadCredentials(fresh.Data, time.Now)
	if err != nil || d.roster.accept(after.Name) != nil {
		t.Errorf("it itself: %v, %v", err, d.roster.accept(after.Name))
	}
}

// An address that others cannot dial, or that is another node's, is found out before a token is used up.
func TestJoinAddress(t *testing.T) {
	d := newDoorman(t, "photos")
	token := d.token(t, 0)
	for listen, want := range map[string]string{"": "is not HOST:PORT", "0.0.0.0:7940": "is not an address that other nodes can dial", "[::]:7940": "can dial", "10.0.0.1": "is not HOST:PORT"} {
		c := joiner(t)
		c.Listen = listen
		if _, err := Join(t.Context(), token, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("listening on %q: %v", listen, err)
		}
	}
	taken := joiner(t)
	d.cluster.nodes = append(d.cluster.nodes, identity.Peer{Node: 3, Addr: taken.Listen})
	d.roster.set(d.cluster.nodes)
	_, err := Join(t.Context(), token, taken)
	if errs.KindOf(err) != errs.Exists || !strings.Contains(err.Error(), "node 3 of the cluster listens on "+taken.Listen) {
		t.Errorf("the address of another node: %v", err)
	}
	taken.Listen = freeAddress(t)
	if made, err := Join(t.Context(), token, taken); err != nil || made.Config.ID != 4 {
		t.Errorf("on another address, with the same token: %+v, %v", made, err)
	}
}
