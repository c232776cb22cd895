package tcp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dfs/errs"
	"dfs/fabric"
	"dfs/ids"
)

// await waits for a value, with patience.
func await[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(20 * time.Second):
		t.Fatalf("waited too long for %s", what)
	}
	return v
}

// logbook collects log lines.
type logbook struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(p)
}

func (l *logbook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *logbook) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.lines.String(), text)
}

// A refused node learns the reason and logs it once, however often it tries; so does the one that refuses.
// When the reason is gone, they connect.
func TestRefusal(t *testing.T) {
	for _, refuser := range []ids.NodeID{1, 2} {
		var logs [3]logbook
		var checks atomic.Int32
		var allow atomic.Bool
		reasons, tries, up := make(chan string, 100), make(chan struct{}, 100), make(chan struct{}, 2)
		cluster(t, 2, func(cfg *Config) {
			cfg.Logger = logs[cfg.Self].logger()
			cfg.Hello = func() []byte { return []byte("hello from " + string(rune('0'+cfg.Self))) }
			cfg.Events.Up = func(ids.NodeID) { up <- struct{}{} }
			if cfg.Self != refuser {
				cfg.Refused = func(peer ids.NodeID, reason string) { reasons <- reason }
				return
			}
			cfg.Check = func(peer ids.NodeID, hello []byte) error {
				if want := "hello from " + string(rune('0'+peer)); string(hello) != want {
					t.Errorf("hello %q, want %q", hello, want)
				}
				if allow.Load() {
					return nil
				}
				n := checks.Add(1)
				tries <- struct{}{}
				return errs.New(errs.Invalid, "clock is off by %d ms", 700+n)
			}
		})
		if reason := await(t, "the refusal", reasons); reason != "clock is off by 701 ms" {
			t.Errorf("node %d refuses: the reason arrived as %q", refuser, reason)
		}
		for range 5 {
			await(t, "another try", tries)
		}
		allow.Store(true)
		await(t, "the first end", up)
		await(t, "the second end", up)
		if len(reasons) != 0 {
			t.Errorf("node %d refuses: %d more callbacks", refuser, len(reasons))
		}
		for id := 1; id <= 2; id++ {
			if n := logs[id].count("clock is off by"); n != 1 {
				t.Errorf("node %d refuses: logged %d times by node %d, want once", refuser, n, id)
			}
		}
	}
}

// stranger connects to f by hand and says hello as node from; it returns the answer.
func stranger(t *testing.T, f *Fabric, format byte, from, to ids.NodeID) (net.Conn, greeting) {
	t.Helper()
	nc, err := net.Dial("tcp", f.cfg.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	var b bytes.Buffer
	if err := writeGreeting(&b, greeting{shakeHello, from, to, []byte("by hand")}); err != nil {
		t.Fatal(err)
	}
	b.Bytes()[4] = format
	if _, err := nc.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	g, err := readGreeting(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, g
}

// befriend connects to f by hand as node 1, to the end of the handshake.
func befriend(t *testing.T, f *Fabric) net.Conn {
	t.Helper()
	nc, g := stranger(t, f, shakeFormat, 1, f.cfg.Self)
	if g.kind != shakeHello {
		t.Fatalf("refused: %s", g.body)
	}
	if err := writeGreeting(nc, greeting{shakeReady, 1, f.cfg.Self, nil}); err != nil {
		t.Fatal(err)
	}
	return nc
}

// alone starts node 5, whose peers 1 and 9 do not exist.
func alone(t *testing.T, edit func(cfg *Config)) *Fabric {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Self: 5, Peers: map[ids.NodeID]string{1: "", 9: "127.0.0.1:1"}, Listener: l, RetryMin: time.Hour, RetryMax: time.Hour}
	edit(&cfg)
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.Start()
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// Who may not connect is told why.
func TestStrangers(t *testing.T) {
	f := alone(t, func(*Config) {})
	for _, c := range []struct {
		format   byte
		from, to ids.NodeID
		want     string
	}{
		{1, 7, 5, "node 5 knows no node 7: it was never let in, or was removed"},
		{1, 9, 5, "node 9 must not dial node 5: the lower id dials"},
		{1, 1, 6, "node 5 answers at the address of node 6"},
		{2, 1, 5, "handshake: node 1 speaks format 2 and node 5 format 1; run the same version on both"},
	} {
		nc, g := stranger(t, f, c.format, c.from, c.to)
		if g.kind != shakeRefusal || string(g.body) != c.want {
			t.Errorf("node %d to %d: kind %d, %q, want %q", c.from, c.to, g.kind, g.body, c.want)
		}
		if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the connection was not closed: %v", err)
		}
	}
	if nc, g := stranger(t, f, 1, 1, 5); g.kind != shakeHello {
		t.Errorf("the right peer was refused after the strangers: %s", g.body)
	} else if err := writeGreeting(nc, greeting{shakeRefusal, 1, 5, []byte("no")}); err != nil {
		t.Error(err)
	}
}

// One who says nothing, or not what he should, is hung up on.
func TestHandshakeDeadline(t *testing.T) {
	f := alone(t, func(cfg *Config) { cfg.HandshakeTimeout = 30 * time.Millisecond })
	for _, say := range []string{"", "dfs", "GET / HTTP/1.1\r\n\r\n....................", "dfsF\x01\x01\xff\xff\x01\x00\x00\x00\x05\x00\x00\x00half of it"} {
		nc, err := net.Dial("tcp", f.cfg.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(nc, say)
		_ = nc.SetReadDeadline(time.Now().Add(20 * time.Second))
		_, err = io.ReadAll(nc)
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			t.Errorf("after %q the connection was kept", say)
		}
		_ = nc.Close()
	}
}

func FuzzGreeting(f *testing.F) {
	var b bytes.Buffer
	_ = writeGreeting(&b, greeting{shakeHello, 1, 2, []byte("hello")})
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, p []byte) {
		g, err := readGreeting(bytes.NewReader(p))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := writeGreeting(&again, g); err != nil {
			t.Fatal(err)
		}
		if p[4] == shakeFormat && !bytes.Equal(again.Bytes(), p[:again.Len()]) {
			t.Errorf("%x came back as %x", p, again.Bytes())
		}
	})
}

// K4: frames that make no sense close the connection, and hurt nothing else.
func TestMalformedFrame(t *testing.T) {
	downs, ups := make(chan error, 1), make(chan struct{}, 2)
	f := alone(t, func(cfg *Config) {
		cfg.Events = fabric.Events{
			Up:   func(ids.NodeID) { ups <- struct{}{} },
			Down: func(_ ids.NodeID, err error) { downs <- err },
		}
	})
	for i, h := range []header{
		{kind: 0}, {kind: 9}, {kind: frameWrite, size: maxPayload + 1}, {kind: frameWords, size: 12}, {kind: frameWords, off: 4},
		{kind: frameMessage, size: fabric.MaxMessage + 1}, {kind: frameMessage, region: 1},
	} {
		nc := befriend(t, f)
		await(t, "Up", ups)
		var head [headerSize]byte
		h.put(head[:])
		if _, err := nc.Write(head[:]); err != nil {
			t.Fatal(err)
		}
		if err := await(t, "Down", downs); !errors.Is(err, errs.Corrupt) {
			t.Errorf("case %d: %v, want %v", i, err, errs.Corrupt)
		}
	}
	nc := befriend(t, f)
	await(t, "Up", ups)
	var head [headerSize]byte
	header{kind: frameWrite}.put(head[:])
	head[2] = 1 // a byte that must be zero
	_, _ = nc.Write(head[:])
	if err := await(t, "Down", downs); !errors.Is(err, errs.Corrupt) {
		t.Errorf("reserved byte: %v, want %v", err, errs.Corrupt)
	}
}

// Mistakes in the configuration are all named.
func TestConfigValidate(t *testing.T) {
	_, err := New(Config{Peers: map[ids.NodeID]string{3: ""}, RetryMin: time.Hour, MaxQueued: 1})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"Self", "Listener", "peer 3 has no address", "RetryMin", "MaxQueued"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in: %v", want, err)
		}
	}
}

// Numbers that a test reads must be those that the format says.
func TestGreetingLayout(t *testing.T) {
	var b bytes.Buffer
	if err := writeGreeting(&b, greeting{shakeHello, 0x01020304, 0x05060708, []byte("abc")}); err != nil {
		t.Fatal(err)
	}
	p := b.Bytes()
	if string(p[:4]) != "dfsF" || p[4] != 1 || p[5] != 1 || binary.LittleEndian.Uint16(p[6:]) != 3 ||
		binary.LittleEndian.Uint32(p[8:]) != 0x01020304 || binary.LittleEndian.Uint32(p[12:]) != 0x05060708 || string(p[16:]) != "abc" {
		t.Errorf("%x", p)
	}
}

// A peer that cannot be reached is logged once.
func TestUnreachable(t *testing.T) {
	var log logbook
	tries := make(chan struct{}, 1000)
	alone(t, func(cfg *Config) {
		cfg.Logger = log.logger()
		cfg.RetryMin, cfg.RetryMax = time.Microsecond, time.Millisecond
		cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			select {
			case tries <- struct{}{}:
			default:
			}
			return nil, errors.New("no route to " + addr)
		}
	})
	for range 20 {
		await(t, "a try", tries)
	}
	if n := log.count("no route"); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
}
