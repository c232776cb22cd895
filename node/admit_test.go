package node

import (
	"bytes"
	"context"
	"errors"
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
	"dfs/hlc"
	"dfs/identity"
	"dfs/ids"
	"dfs/index"
	"dfs/namespace"
)

// assembly is a cluster that consists of its configuration.
type assembly struct {
	mu      sync.Mutex
	nodes   []identity.Peer
	err     error // what a change fails with
	changes int
}

func (s *assembly) change(_ context.Context, change func([]identity.Peer) []identity.Peer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	after := change(slices.Clone(s.nodes))
	if !slices.Equal(after, s.nodes) {
		s.changes++
	}
	s.nodes = after
	return nil
}

func (s *assembly) all() []identity.Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.nodes)
}

func (s *assembly) ids() (all []ids.NodeID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.nodes {
		all = append(all, p.Node)
	}
	return all
}

// order is the one order of a cluster, as far as claims go.
type order struct {
	mu  sync.Mutex
	x   *index.Index
	now hlc.Timestamp
	err error // what an operation fails with
}

func (o *order) apply(_ context.Context, op namespace.Op) (errs.Kind, []byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, nil, o.err
	}
	o.now = max(o.now+1, hlc.FromTime(time.Now()))
	tx := o.x.Begin()
	kind, body := namespace.Apply(tx.Writer(ids.Namespace, o.now), o.now, op.Encode())
	return kind, body, tx.Commit()
}

// doorman is a node of a cluster as those see it who want to join.
type doorman struct {
	*admission
	cluster *assembly
	order   *order
	serving atomic.Pointer[admission]
	config  Config
	mu2     sync.Mutex
	down    []ids.NodeID // those that do not run; guarded by mu2
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
	d := &doorman{
		cluster: &assembly{nodes: append(made.Nodes, second)}, config: made.Config,
		order: &order{x: index.New(index.NewMem(), index.Config{})},
	}
	d.answer(t)
	return d
}

// beside makes another door into the same cluster: that of node 2.
func (d *doorman) beside(t *testing.T) *doorman {
	t.Helper()
	o := &doorman{cluster: d.cluster, order: d.order, config: d.config}
	o.config.Listen = freeAddress(t)
	o.answer(t)
	return o
}

// answer lets the node answer.
func (d *doorman) answer(t *testing.T) {
	t.Helper()
	d.restart(t)
	l, err := net.Listen("tcp", d.config.Listen)
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
}

// restart reads from disk all that the node knows.
func (d *doorman) restart(t *testing.T) {
	t.Helper()
	c := d.config
	creds, err := loadCredentials(c.Data, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRoster(c.Data, 1, d.cluster.nodes, nil)
	if err != nil {
		t.Fatal(err)
	}
	d.admission = &admission{
		creds: creds, roster: r, listen: c.Listen, shards: 4, replicas: 3, clock: d.now,
		log: slog.New(slog.NewTextHandler(d, nil)), apply: d.order.apply,
		change: func(ctx context.Context, change func([]identity.Peer) []identity.Peer) error {
			err := d.cluster.change(ctx, change)
			r.set(d.cluster.all())
			return err
		},
		claims: func() index.Reader { return d.order.x.At(ids.Namespace, hlc.Latest) },
		runs: func(id ids.NodeID) bool {
			d.mu2.Lock()
			defer d.mu2.Unlock()
			return !slices.Contains(d.down, id)
		},
		busy: make(chan struct{}, maxJoins),
	}
	d.serving.Store(d.admission)
}

// start lets everyone in who is expected, as if they had been started and had caught up.
func (d *doorman) start(t *testing.T) {
	t.Helper()
	d.roster.set(d.cluster.all())
	for _, p := range d.expected() {
		if err := d.usher(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
}

func (d *doorman) stop(nodes ...ids.NodeID) {
	d.mu2.Lock()
	defer d.mu2.Unlock()
	d.down = nodes
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
	if made.Config.ID != 3 || !reflect.DeepEqual(made.Nodes, want) || d.cluster.changes != 0 || !slices.Equal(d.expected(), want[2:]) {
		t.Errorf("node %d, nodes %v, %d changes, expected %v", made.Config.ID, made.Nodes, d.cluster.changes, d.expected())
	}
	if d.start(t); !reflect.DeepEqual(d.cluster.nodes, want) || len(d.expected()) != 0 {
		t.Errorf("when it runs: configuration %v, expected %v", d.cluster.nodes, d.expected())
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

// ID3: a token is good at any node, once in the whole cluster, also after all have restarted; who comes too late is told
// who has it. A node that cannot answer is passed over.
func TestTokenAtAnyNode(t *testing.T) {
	d := newDoorman(t, "photos")
	o := d.beside(t)
	at := func(text string, doors ...*doorman) string {
		token, err := identity.ParseToken(text)
		if err != nil {
			t.Fatal(err)
		}
		a := d.creds.Authority
		var addresses []string
		for _, door := range doors {
			addresses = append(addresses, door.listen)
		}
		again, err := a.NewToken(token.Cluster, addresses, time.Hour, token.Replace, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return again.Encode()
	}
	if token, err := identity.ParseToken(d.token(t, 0)); err != nil || !slices.Equal(token.Addresses, []string{d.listen, second.Addr}) {
		t.Errorf("the token names %v, %v", token.Addresses, err)
	}
	used := at(d.token(t, 0), o)
	c := joiner(t)
	made, err := Join(t.Context(), used, c)
	if err != nil || made.Config.ID != 3 {
		t.Fatalf("made at node 1, used at node 2: %+v, %v", made, err)
	}
	shown, err := identity.ParseToken(used)
	if err != nil {
		t.Fatal(err)
	}
	d.claims().Scan([]byte{0}, []byte{255}, func(_, v []byte) bool {
		if bytes.Contains(v, shown.Seal[:16]) {
			t.Errorf("ID4: a node keeps what lets another one in: %x", v)
		}
		return true
	})
	d.restart(t)
	o.restart(t)
	if _, err := Join(t.Context(), used, joiner(t)); errs.KindOf(err) != errs.AccessDenied || !strings.Contains(err.Error(), "by node 3 at "+c.Listen) {
		t.Errorf("used a second time: %v", err)
	}

	// Two at the same moment, at two nodes.
	both, moment := d.token(t, 0), make(chan struct{})
	results := make(chan error, 2)
	for _, door := range []*doorman{d, o} {
		c := joiner(t)
		token, err := identity.ParseToken(both)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			key, err := loadNodeKey(c.Data)
			if err == nil {
				var req identity.Request
				if req, err = identity.NewRequest(token, key, c.Listen); err == nil {
					<-moment
					_, err = door.admit(context.Background(), req)
				}
			}
			results <- err
		}()
	}
	close(moment)
	one, other := <-results, <-results
	if (one == nil) == (other == nil) || errs.KindOf(errors.Join(one, other)) != errs.AccessDenied {
		t.Errorf("ID3: at the same moment: %v and %v", one, other)
	}

	// The first address leads nowhere, at the second there is no majority.
	gone := &doorman{admission: &admission{listen: freeAddress(t)}}
	alone := d.beside(t)
	alone.apply = func(context.Context, namespace.Op) (errs.Kind, []byte, error) {
		return 0, nil, errs.New(errs.Unavailable, "no majority")
	}
	if made, err := Join(t.Context(), at(d.token(t, 0), gone, alone, d), joiner(t)); err != nil || made.Config.ID != 5 {
		t.Errorf("with a node that is gone and one that is alone: %+v, %v", made, err)
	}
}

// A node that dies after it has let one in leaves nothing undone: whoever leads next finds that it has come, and the joiner may
// ask another one.
func TestDiesInTheMidst(t *testing.T) {
	d := newDoorman(t, "photos")
	o := d.beside(t)
	c, token := joiner(t), d.token(t, 0)
	made, err := Join(t.Context(), token, c)
	if err != nil {
		t.Fatal(err)
	}
	again := func() {
		t.Helper()
		if err := os.Remove(filepath.Join(c.Data, identityName)); err != nil { // as if the answer had been lost
			t.Fatal(err)
		}
		o.serving.Load().listen = d.listen // it is asked at the same address
		d.serving.Store(o.serving.Load())
		if back, err := Join(t.Context(), token, c); err != nil || back.Config.ID != made.Config.ID {
			t.Fatalf("at another node: %+v, %v", back, err)
		}
	}
	again()
	// It comes into the configuration, and who brought it in dies before it can say so.
	d.cluster.nodes = append(d.cluster.nodes, identity.Peer{Node: 3, Addr: c.Listen})
	o.roster.set(d.cluster.nodes)
	if len(o.openClaims()) != 1 || len(o.expected()) != 0 {
		t.Errorf("open %v, expected %v", o.openClaims(), o.expected())
	}
	again()
	if err := o.tidy(t.Context()); err != nil || len(o.openClaims()) != 0 {
		t.Errorf("%v, open %v", err, o.openClaims())
	}
	again()
}

// Who is refused is told why and what to do, it is logged, and nothing changes.
func TestJoinRefused(t *testing.T) {
	d, other := newDoorman(t, "photos"), newDoorman(t, "photos")
	readdress := func(text, address string) string { // only where the node is asked that it names is changed
		tok, err := identity.ParseToken(text)
		if err != nil {
			t.Fatal(err)
		}
		made, err := d.creds.Authority.NewToken(tok.Cluster, []string{address}, time.Hour, tok.Replace, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return made.Encode()
	}
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
	forged.ID[0]++
	foreign := parse(other.token(t, 0))
	foreign.Addresses = []string{d.listen} // another cluster's token, shown here
	d.ahead.Store(int64(-2 * time.Hour))
	old := d.token(t, 0)
	longer := parse(old)
	longer.Expires = time.Now().Add(time.Hour) // changed by who has it
	d.ahead.Store(0)
	gone := readdress(d.token(t, 0), freeAddress(t))
	for what, c := range map[string]struct {
		token, want, hint string
		logged            string
	}{
		"used":     {used, "the token was used at", "dfs token create", "the token was used at"},
		"forged":   {forged.Encode(), "has made no such token", "dfs token create", "has made no such token"},
		"expired":  {old, "the token expired at", "dfs token create", ""},
		"changed":  {longer.Encode(), "has made no such token", "dfs token create", "has made no such token"},
		"foreign":  {foreign.Encode(), "does not belong to the cluster of the token", "dfs token create", ""},
		"damaged":  {used[:len(used)-3], "the token is damaged", "copy the whole line", ""},
		"nonsense": {"dfs", "this is no token", "copy the whole line", ""},
		"nobody":   {gone, "connection refused", "does any node of the cluster run", ""},
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
	if d.start(t); !slices.Equal(d.cluster.ids(), []ids.NodeID{1, 2, 3}) {
		t.Errorf("the cluster has the nodes %v", d.cluster.ids())
	}
}

// ND7: a join that is interrupted, wherever, is done again with the same token, and only one node comes of it.
func TestJoinAgain(t *testing.T) {
	d := newDoorman(t, "photos")
	token, c := d.token(t, 0), joiner(t)
	d.order.err = errs.New(errs.Unavailable, "no majority")
	if _, err := Join(t.Context(), token, c); errs.KindOf(err) != errs.Unavailable || !strings.Contains(err.Error(), "no majority") {
		t.Fatalf("without a majority: %v", err)
	}
	d.order.err = nil
	for range 3 {
		made, err := Join(t.Context(), token, c)
		if err != nil || made.Config.ID != 3 {
			t.Fatalf("again: %+v, %v", made, err)
		}
		if err := os.Remove(filepath.Join(c.Data, identityName)); err != nil { // as if the answer had been lost
			t.Fatal(err)
		}
		d.start(t)
		d.restart(t)
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
	if _, err := Join(t.Context(), token, c); errs.KindOf(err) != errs.AccessDenied || !strings.Contains(err.Error(), "has left the cluster") {
		t.Errorf("after it was removed: %v", err)
	}
	// One that never came can be removed too.
	never := joiner(t)
	if _, err := Join(t.Context(), d.token(t, 0), never); err != nil || len(d.expected()) != 1 {
		t.Fatalf("%v, expected %v", err, d.expected())
	}
	if err := d.remove(t.Context(), 4); err != nil || len(d.expected()) != 0 {
		t.Errorf("%v, expected %v", err, d.expected())
	}
}

// ND6: numbers are not given twice, also not to make up for one that left.
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
	for want := ids.NodeID(3); want < 6; want++ {
		if n := join(); n != want {
			t.Errorf("ND6: node %d, want %d", n, want)
		}
	}
	d.start(t)
	for _, n := range []ids.NodeID{4, 5} {
		if err := d.remove(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	d.restart(t)
	if n := join(); n != 6 {
		t.Errorf("ND6: after the last ones left: node %d", n)
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
	d.start(t)
	d.ahead.Store(int64(5 * time.Second))
	fresh, token := joiner(t), d.token(t, 3)
	if _, err := Join(t.Context(), token, fresh); errs.KindOf(err) != errs.Exists || !strings.Contains(err.Error(), "is running") {
		t.Errorf("in the place of one that runs: %v", err)
	}
	d.stop(3)
	fresh.Listen = lost.Listen // a new disk in the same machine
	d.cluster.err = errs.New(errs.Unavailable, "no majority")
	if _, err := Join(t.Context(), token, fresh); errs.KindOf(err) != errs.Unavailable || len(d.expected()) != 0 {
		t.Fatalf("the old one is still there: %v, expected %v", err, d.expected())
	}
	if err := d.tidy(t.Context()); err != nil || len(d.openClaims()) != 1 { // it has not come: that is its former self
		t.Errorf("%v, open %v", err, d.openClaims())
	}
	d.cluster.err = nil
	o := d.beside(t)
	o.stop(3)
	o.ahead.Store(int64(5 * time.Second))
	o.listen = d.listen
	d.serving.Store(o.admission) // the first one died
	made, err := Join(t.Context(), token, fresh)
	if err != nil || made.Config.ID != 3 {
		t.Fatalf("%+v, %v", made, err)
	}
	if got := d.cluster.ids(); !slices.Equal(got, []ids.NodeID{1, 2}) {
		t.Errorf("configuration %v: it must go before it comes", got)
	}
	o.start(t)
	want := []identity.Peer{{Node: 1, Addr: d.listen}, second, {Node: 3, Addr: fresh.Listen}}
	if !reflect.DeepEqual(d.cluster.nodes, want) || d.cluster.changes != 3 {
		t.Errorf("configuration %v after %d changes", d.cluster.nodes, d.cluster.changes)
	}
	if err := o.roster.accept(before.Name); err == nil || !strings.Contains(err.Error(), "node 3 was replaced") {
		t.Errorf("its former self: %v", err)
	}
	after, err := loadCredentials(fresh.Data, time.Now)
	if err != nil || o.roster.accept(after.Name) != nil {
		t.Errorf("it itself: %v, %v", err, o.roster.accept(after.Name))
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
