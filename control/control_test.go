package control

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dfs/advice"
	"dfs/errs"
)

func answer(_ context.Context, req Request) (Response, error) {
	if req.Command == CommandStop {
		return Response{}, advice.Add(errs.New(errs.Busy, "cannot stop"), "wait")
	}
	return Response{Status: &Status{Node: 3, Phase: Serving, Started: time.Unix(1, 0).UTC()}}, nil
}

func serve(t *testing.T, dir string) {
	t.Helper()
	s, err := Serve(dir, answer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
}

func TestExchange(t *testing.T) {
	// Longer than the 107 bytes that a socket address has room for.
	dir := filepath.Join(t.TempDir(), strings.Repeat("long-", 30))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := GetStatus(t.Context(), dir); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("before the start: %v", err)
	}
	serve(t, dir)
	st, err := GetStatus(t.Context(), dir)
	if err != nil || st.Node != 3 || st.Phase != Serving {
		t.Fatalf("status %+v, %v", st, err)
	}
	_, err = Ask(t.Context(), dir, Request{Command: CommandStop})
	if errs.KindOf(err) != errs.Busy || advice.Of(err) != "wait" || err.Error() != "cannot stop" {
		t.Errorf("an error came through as %v, hint %q", err, advice.Of(err))
	}
}

// C4: only the owner may connect.
func TestSocketMode(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir)
	info, err := os.Stat(filepath.Join(dir, SocketName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("C4: mode %v, %v", info.Mode(), err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	dir := t.TempDir()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, SocketName), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := GetStatus(t.Context(), dir); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("a dead socket: %v", err)
	}
	serve(t, dir)
	if _, err := GetStatus(t.Context(), dir); err != nil {
		t.Error(err)
	}
}

// C1, C2: what is too long or not understood is refused.
func TestBadRequests(t *testing.T) {
	for text, want := range map[string]errs.Kind{
		"":                                  errs.Unavailable,
		"\n":                                errs.Unavailable,
		`{"protocol":1,"command":"status"}`: errs.OK,
		`{"protocol":1,"command":"status"}` + "\n{":     errs.OK,
		`{"protocol":2,"command":"status"}`:             errs.NotSupported,
		`{"protocol":1,"command":"format"}`:             errs.NotSupported,
		`{"protocol":1,"command":"status","force":1}`:   errs.Invalid,
		`{"protocol":1,"command":"status"} {}`:          errs.Invalid,
		`[1]`:                                           errs.Invalid,
		`"` + strings.Repeat("x", MaxRequest) + `"`:     errs.TooLarge,
		strings.Repeat("[", MaxRequest):                 errs.Invalid,
		`{"protocol":1e99,"command":"status"}`:          errs.Invalid,
		"\x00\xff" + `{"protocol":1,"command":"status"`: errs.Invalid,
	} {
		if _, err := DecodeRequest(strings.NewReader(text)); errs.KindOf(err) != want {
			t.Errorf("%.40q: %v (%v), want %v", text, err, errs.KindOf(err), want)
		}
	}
}

// C1: an endless line costs no more memory than the limit.
func TestEndlessLine(t *testing.T) {
	endless := &counted{}
	if _, err := DecodeRequest(endless); errs.KindOf(err) != errs.TooLarge {
		t.Errorf("got %v", err)
	}
	if endless.n > 2*MaxRequest {
		t.Errorf("C1: read %d bytes of an endless line", endless.n)
	}
}

type counted struct{ n int }

func (c *counted) Read(p []byte) (int, error) {
	c.n += len(p)
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// C3: a silent client holds up nobody, and closing the server does not wait for it.
func TestSilentClient(t *testing.T) {
	dir := t.TempDir()
	s, err := Serve(dir, answer)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		silent, err := net.Dial("unix", filepath.Join(dir, SocketName))
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
	}
	if _, err := GetStatus(t.Context(), dir); err != nil {
		t.Errorf("C3: %v", err)
	}
	began := time.Now()
	s.Close()
	if took := time.Since(began); took > Patience/2 {
		t.Errorf("C3: Close took %v", took)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	if pid, err := Holder(dir); pid != 0 || err != nil {
		t.Fatalf("holder of nothing: %d, %v", pid, err)
	}
	lock, err := TakeLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if pid, err := Holder(dir); pid != os.Getpid() || err != nil {
		t.Errorf("holder %d, %v", pid, err)
	}
	if _, err := TakeLock(dir); errs.KindOf(err) != errs.Busy || advice.Of(err) != "dfs status --data "+dir {
		t.Errorf("second lock: %v, hint %q", err, advice.Of(err))
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if pid, err := Holder(dir); pid != 0 || err != nil {
		t.Errorf("after release: %d, %v", pid, err)
	}
}

// C1, C2: no bytes make the decoder panic or accept what it would not write itself.
func FuzzDecodeRequest(f *testing.F) {
	f.Add([]byte(`{"protocol":1,"command":"status"}` + "\n"))
	f.Add([]byte(`{"error":{"kind":65535,"text":"\ud800"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		req, err := DecodeRequest(bytes.NewReader(text))
		if err == nil {
			var out bytes.Buffer
			if encodeLine(&out, req) != nil {
				t.Fatal("accepted what cannot be written")
			}
			if back, err := DecodeRequest(&out); err != nil || back != req {
				t.Fatalf("%+v came back as %+v, %v", req, back, err)
			}
		}
		resp, err := DecodeResponse(bytes.NewReader(text))
		if err == nil {
			if err := encodeLine(io.Discard, resp); err != nil {
				t.Fatal(err)
			}
		}
	})
}
