package node

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dfs/identity"
	"dfs/ids"
)

// book collects what a node logs.
type book struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) has(text string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Contains(b.text.String(), text)
}

// await waits until the text is there.
func (b *book) await(t *testing.T, text string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(10 * time.Second); !b.has(text); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not logged: %q in\n%s", text, b.text.String())
		}
	}
}

// ND5: whoever has no good certificate gets no link, is told so, and a line in the log says why and what to do.
func TestStrangersAreRefused(t *testing.T) {
	c := Config{Cluster: "photos", Data: filepath.Join(t.TempDir(), "data"), Listen: freeAddress(t)}
	made, err := Init(c)
	if err != nil {
		t.Fatal(err)
	}
	log := &book{}
	ctx, stop := context.WithCancel(t.Context())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() {
		ended <- Run(ctx, made.Config, Options{
			Ready:  func(Config) { close(ready) },
			Logger: func(slog.Level) *slog.Logger { return slog.New(slog.NewTextHandler(log, nil)) },
		})
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	<-ready
	ours, err := loadCredentials(c.Data, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := identity.NewAuthority("photos", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	issue := func(a *identity.Authority, n ids.NodeID, at time.Time) *identity.Credentials {
		key, err := identity.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		cert, err := a.Issue(identity.Name{Cluster: "photos", Node: n, Issue: at.Unix()}, key.Public().(ed25519.PublicKey), at)
		if err != nil {
			t.Fatal(err)
		}
		creds, err := identity.NewCredentials(a, cert.Raw, key, func() time.Time { return at })
		if err != nil {
			t.Fatal(err)
		}
		return creds
	}
	for _, s := range []struct {
		creds *identity.Credentials
		id    ids.NodeID
		want  string
	}{
		{issue(theirs, 2, time.Now()), 2, `the certificate of node 2 of cluster \"photos\" was not signed by this cluster`},
		{issue(ours.Authority, 2, time.Now().Add(48*time.Hour)), 2, "set the clocks (chronyc tracking)"},
		{issue(ours.Authority, 9, time.Now()), 9, "node 1 knows no node 9: it was never let in, or was removed"},
		{nil, 9, "does not look like a TLS handshake"},
	} {
		stranger(t, s.creds, s.id, c.Listen)
		log.await(t, s.want)
	}
	if log.has("link is up") {
		t.Errorf("ND5: a stranger has a link:\n%s", log.text.String())
	}
}

// stranger tries to get a link to node 1 at the address, as node id.
func stranger(t *testing.T, creds *identity.Credentials, id ids.NodeID, address string) {
	t.Helper()
	if creds == nil { // in the clear
		nc, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		_, _ = io.WriteString(nc, "dfsF\x01\x01\x00\x00\x09\x00\x00\x00\x01\x00\x00\x00")
		_, _ = io.ReadAll(nc)
		return
	}
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	// It accepts everybody, and shows what it has.
	secured := tls.Client(nc, &tls.Config{
		InsecureSkipVerify: true, NextProtos: []string{"dfs-link/1"},
		Certificates: []tls.Certificate{{Certificate: [][]byte{creds.Certificate().Raw}, PrivateKey: creds.Key}},
	})
	_, _ = io.WriteString(secured, "dfsF\x01\x01\x00\x00"+string(rune(id))+"\x00\x00\x00\x01\x00\x00\x00")
	_, _ = io.ReadAll(secured)
}
