package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dfs/control"
	"dfs/errs"
	"dfs/mountpoint"
)

// life is a node that runs in this process.
type life struct {
	t     *testing.T
	stop  context.CancelFunc
	ended chan error
}

// live runs a node and waits until it serves.
func live(t *testing.T, c Config) *life {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &life{t: t, stop: cancel, ended: make(chan error, 1)}
	ready := make(chan struct{})
	go func() {
		l.ended <- Run(ctx, c, Options{
			Program: "test", Ready: func(Config) { close(ready) },
			Logger: func(level slog.Level) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) },
		})
	}()
	t.Cleanup(func() {
		cancel()
		mountpoint.Detach(c.Mount)
	})
	select {
	case <-ready:
	case err := <-l.ended:
		t.Fatalf("the node did not start: %v", err)
	case <-time.After(20 * time.Second):
		t.Fatal("the node does not serve")
	}
	return l
}

// end stops the node in order.
func (l *life) end() {
	l.t.Helper()
	l.stop()
	select {
	case err := <-l.ended:
		if err != nil {
			l.t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		l.t.Fatal("the node does not stop")
	}
}

func mountConfig(t *testing.T) Config {
	t.Helper()
	if err := mountpoint.CheckFUSE(fuseDevice); err != nil {
		t.Skipf("cannot mount here: %v", err)
	}
	dir := t.TempDir()
	mount := filepath.Join(dir, "mnt")
	if err := os.Mkdir(mount, 0o700); err != nil {
		t.Fatal(err)
	}
	return Config{Data: filepath.Join(dir, "data"), Mount: mount}
}

// ND4: after an orderly stop mount and lock are gone, and what was answered is there in the next life.
func TestLives(t *testing.T) {
	c := mountConfig(t)
	file := filepath.Join(c.Mount, "file")
	want := ""
	for range 3 {
		l := live(t, c)
		if got, err := os.ReadFile(file); want != "" && (err != nil || string(got) != want) {
			t.Fatalf("ND4: read %q, %v; want %q", got, err, want)
		}
		want += "a line\n"
		if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		l.end()
		if _, still := mountpoint.At(c.Mount); still {
			t.Error("ND4: still mounted")
		}
		if pid, err := control.Holder(c.Data); pid != 0 || err != nil {
			t.Errorf("ND4: still locked by %d, %v", pid, err)
		}
	}
}

// ND4: somebody who uses the mount does not keep the node from stopping.
func TestStopWhileInUse(t *testing.T) {
	c := mountConfig(t)
	l := live(t, c)
	f, err := os.Create(filepath.Join(c.Mount, "open"))
	if err != nil {
		t.Fatal(err)
	}
	l.end()
	if _, still := mountpoint.At(c.Mount); still {
		t.Error("ND4: still mounted")
	}
	f.Close()
}

func TestUnmountFromOutsideStops(t *testing.T) {
	c := mountConfig(t)
	l := live(t, c)
	if err := mountpoint.Unmount(c.Mount); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-l.ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("still running")
	}
}

func TestStatusAndStop(t *testing.T) {
	c := Config{Data: filepath.Join(t.TempDir(), "data"), Shards: 2}
	l := live(t, c)
	st, err := control.GetStatus(t.Context(), c.Data)
	if err != nil {
		t.Fatal(err)
	}
	if st.Phase != control.Serving || st.View != 1 || len(st.Subgroups) != 3 || st.Subgroups[2].Name != "data 2" || st.Log.Segments == 0 ||
		st.Memory.Resident == 0 || st.Incarnation == 0 || len(st.Members) != 1 || !st.Members[0].Connected {
		t.Errorf("status %+v", st)
	}
	if _, err := OpenDataDir(c.withDefaults()); errs.KindOf(err) != errs.Busy {
		t.Errorf("ND2: %v", err)
	}
	if _, err := control.Ask(t.Context(), c.Data, control.Request{Command: control.CommandStop}); err != nil {
		t.Error(err)
	}
	if err := <-l.ended; err != nil {
		t.Error(err)
	}
}

// A node that waits for others says for whom, and can be stopped.
func TestWaitingForPeers(t *testing.T) {
	c := testConfig(t)
	c.Listen = freeAddress(t)
	waits(t, c, Options{})("not connected to the nodes 1, 3")
}

// Nodes whose clocks differ too much refuse each other, and both say why.
func TestClocksApart(t *testing.T) {
	one, two := freeAddress(t), freeAddress(t)
	c1 := Config{ID: 1, Listen: one, Peers: map[string]string{"2": two}, Data: filepath.Join(t.TempDir(), "data")}
	c2 := Config{ID: 2, Listen: two, Peers: map[string]string{"1": one}, Data: filepath.Join(t.TempDir(), "data")}
	first := waits(t, c1, Options{})
	second := waits(t, c2, Options{Clock: func() time.Time { return time.Now().Add(2 * time.Second) }})
	either := []string{"the clock of node 2 is 2s ahead, allowed are 500ms", "the clock of node 1 is 2s behind, allowed are 500ms"}
	first(either...)
	second(either...)
}

// waits runs a node that cannot serve. What it returns waits until the reason it gives has one of the texts, then
// stops the node.
func waits(t *testing.T, c Config, o Options) func(texts ...string) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, c, o) }()
	return func(texts ...string) {
		t.Helper()
		defer cancel()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		deadline, reason := time.After(20*time.Second), ""
		isOne := func(text string) bool { return strings.Contains(rounded(reason), text) }
		for !slices.ContainsFunc(texts, isOne) {
			select {
			case <-tick.C:
			case err := <-ended:
				t.Fatalf("ended: %v", err)
			case <-deadline:
				t.Fatalf("reason %q, want %q", reason, texts)
			}
			st, err := control.GetStatus(t.Context(), c.Data)
			if err == nil {
				reason = st.Reason
			} else if !errors.Is(err, control.ErrNotRunning) && !errors.Is(err, errs.NotFound) {
				t.Fatal(err)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// rounded replaces times a little below two seconds: the greeting takes a moment.
func rounded(reason string) string {
	return regexp.MustCompile(`(1\.9\d*|2\.0\d*)s`).ReplaceAllString(reason, "2s")
}

// freeAddress is a loopback address that nobody listens on now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
