package tcp

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"dfs/fabric"
	"dfs/fabric/fabrictest"
	"dfs/ids"
)

// authority signs the certificates of test nodes, which carry the node id as their name.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  ed25519.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t, pool: x509.NewCertPool()}
	a.cert, a.key = a.sign("authority", nil, nil)
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) sign(name string, parent *x509.Certificate, signer ed25519.PrivateKey) (*x509.Certificate, ed25519.PrivateKey) {
	a.t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"dfs"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IsCA:        parent == nil, BasicConstraintsValid: true,
	}
	if parent == nil {
		parent, signer = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// secure makes a node speak mutual TLS with a certificate for the node named.
func (a *authority) secure(cfg *Config, name ids.NodeID) {
	cert, key := a.sign(strconv.Itoa(int(name)), a.cert, a.key)
	tc := &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: "dfs", RootCAs: a.pool, ClientCAs: a.pool, ClientAuth: tls.RequireAndVerifyClientCert,
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}},
	}
	cfg.Secure = func(ctx context.Context, nc net.Conn, peer ids.NodeID) (net.Conn, error) {
		c := tls.Client(nc, tc)
		if peer == 0 {
			c = tls.Server(nc, tc)
		}
		return c, c.HandshakeContext(ctx)
	}
	cfg.Identify = func(nc net.Conn) (ids.NodeID, error) {
		id, err := strconv.Atoi(nc.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName)
		return ids.NodeID(id), err
	}
}

// The suite over mutual TLS.
func TestConformanceTLS(t *testing.T) {
	a := newAuthority(t)
	fabrictest.Run(t, testNet(func(cfg *Config) { a.secure(cfg, cfg.Self) }))
}

// A node with another node's certificate, or one of another authority, does not get in.
func TestWrongCertificate(t *testing.T) {
	a, b := newAuthority(t), newAuthority(t)
	refused := make(chan string, 1)
	var log logbook
	seen := make(chan struct{}, 100)
	cluster(t, 3, func(cfg *Config) {
		cfg.Events.Up = func(peer ids.NodeID) { t.Errorf("node %d let node %d in", cfg.Self, peer) }
		switch cfg.Self {
		case 1:
			a.secure(cfg, 7)
			cfg.Refused = func(_ ids.NodeID, reason string) { refused <- reason }
		case 2:
			a.secure(cfg, 2)
		case 3:
			b.secure(cfg, 3)
			cfg.Logger = log.logger()
			secure := cfg.Secure
			cfg.Secure = func(ctx context.Context, nc net.Conn, peer ids.NodeID) (net.Conn, error) {
				c, err := secure(ctx, nc, peer)
				if err == nil {
					t.Error("a certificate of another authority was accepted")
				}
				seen <- struct{}{}
				return c, err
			}
		}
	})
	if reason := await(t, "the refusal", refused); reason != "node 1 has the certificate of node 7" {
		t.Errorf("refused with %q", reason)
	}
	for range 5 {
		await(t, "a try", seen)
	}
	if n := log.count("securing the connection"); n == 0 || n > 2 {
		t.Errorf("logged %d times", n)
	}
}

// pipes is a network of net.Pipe, in which nothing is buffered: addresses are numbers.
type pipes struct {
	mu        sync.Mutex
	listeners map[string]*pipeListener
}

type pipeListener struct {
	name  string
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (n *pipes) listen(name string) net.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := &pipeListener{name: name, conns: make(chan net.Conn), done: make(chan struct{})}
	n.listeners[name] = l
	return l
}

func (n *pipes) dial(ctx context.Context, name string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[name]
	n.mu.Unlock()
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: l.name, Net: "pipe"} }

// The suite over connections that are no sockets and buffer nothing.
func TestConformancePipe(t *testing.T) {
	fabrictest.Run(t, func(t *testing.T, n int, events func(ids.NodeID) fabric.Events) *fabrictest.Net {
		network := &pipes{listeners: map[string]*pipeListener{}}
		for id := 1; id <= n; id++ {
			network.listen(fmt.Sprint(id))
		}
		return testNet(func(cfg *Config) {
			_ = cfg.Listener.Close()
			cfg.Listener, cfg.Dial = network.listeners[fmt.Sprint(cfg.Self)], network.dial
			for id := range cfg.Peers {
				cfg.Peers[id] = fmt.Sprint(id)
			}
		})(t, n, events)
	})
}
