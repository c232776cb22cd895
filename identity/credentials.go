package identity

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"sync"
	"time"

	"dfs/errs"
	"dfs/ids"
)

// The protocols inside TLS.
const (
	linkProtocol = "dfs-link/1"
	joinProtocol = "dfs-join/1"
	askProtocol  = "dfs-ask/1"
)

// Credentials are what a node shows to others, and checks others with. Its methods may be called by many
// goroutines.
type Credentials struct {
	Authority *Authority
	Name      Name
	Key       ed25519.PrivateKey
	Clock     func() time.Time
	// Accept, if set, is asked about each name that was verified, and may refuse it (ID2).
	Accept func(Name) error

	mu   sync.Mutex
	cert *x509.Certificate // guarded by mu
}

// NewCredentials puts them together and checks that they belong together.
func NewCredentials(a *Authority, certificate []byte, key ed25519.PrivateKey, clock func() time.Time) (*Credentials, error) {
	cert, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, errs.Wrap(errs.Corrupt, err, "certificate of this node")
	}
	if pub, ok := cert.PublicKey.(ed25519.PublicKey); !ok || !pub.Equal(key.Public()) {
		return nil, errs.New(errs.Corrupt, "key of this node does not belong to its certificate")
	}
	// An expired one is none the less this node's: it is renewed.
	name, err := a.Verify(cert, cert.NotAfter)
	if err != nil {
		return nil, errs.Wrap(errs.KindOf(err), err, "this node")
	}
	return &Credentials{Authority: a, Name: name, Key: key, Clock: clock, cert: cert}, nil
}

// Certificate returns the node's certificate, a new one if less than a third of its time is left and this node
// holds the authority's key.
func (c *Credentials) Certificate() *x509.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.Clock()
	if c.Authority.Key != nil && now.After(c.cert.NotAfter.Add(-nodeTime/3)) {
		if fresh, err := c.Authority.Issue(c.Name, c.Key.Public().(ed25519.PublicKey), now); err == nil {
			c.cert = fresh
		}
	}
	return c.cert
}

// shown is what TLS shows to the other end. The authority's certificate is for joiners, who know its fingerprint.
func (c *Credentials) shown() *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{c.Certificate().Raw, c.Authority.Cert.Raw}, PrivateKey: c.Key}
}

// Secure wraps a connection to or from another node and shakes hands. On a connection that comes in, for which peer
// is 0, the other end may want something else than a link: see Joining and Asking.
func (c *Credentials) Secure(ctx context.Context, nc net.Conn, peer ids.NodeID) (net.Conn, error) {
	tc := tls.Client(nc, c.client(peer, linkProtocol))
	if peer == 0 {
		tc = tls.Server(nc, c.server())
	}
	return tc, tc.HandshakeContext(ctx)
}

// base is what both ends have in common. Go's own check of certificates is about names of hosts; Verify takes its
// place at both ends, and is called in every handshake, for there are no resumed ones.
func (c *Credentials) base() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Time: c.Clock, SessionTicketsDisabled: true,
		InsecureSkipVerify: true,
	}
}

func (c *Credentials) client(peer ids.NodeID, protocol string) *tls.Config {
	cfg := c.base()
	cfg.NextProtos = []string{protocol}
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.shown(), nil }
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		name, err := c.verify(s)
		if err == nil && name.Node != peer {
			err = errs.New(errs.AccessDenied, "node %d answers at the address of node %d", name.Node, peer)
		}
		return err
	}
	return cfg
}

func (c *Credentials) server() *tls.Config {
	link := c.base()
	link.NextProtos = []string{linkProtocol, askProtocol}
	link.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.shown(), nil }
	link.ClientAuth = tls.RequireAnyClientCert
	link.VerifyConnection = func(s tls.ConnectionState) error {
		_, err := c.verify(s)
		return err
	}
	link.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if !slices.Contains(hello.SupportedProtos, joinProtocol) {
			return nil, nil
		}
		join := c.base()
		join.GetCertificate = link.GetCertificate
		join.NextProtos = []string{joinProtocol}
		return join, nil
	}
	return link
}

// verify returns the name that the other end of a link has proven.
func (c *Credentials) verify(s tls.ConnectionState) (Name, error) {
	if s.NegotiatedProtocol == "" || len(s.PeerCertificates) == 0 {
		return Name{}, errs.New(errs.AccessDenied, "the other end does not speak %s", linkProtocol)
	}
	name, err := c.Authority.Verify(s.PeerCertificates[0], c.Clock())
	if err == nil && name.Cluster != c.Name.Cluster {
		err = errs.New(errs.AccessDenied, "node %d belongs to cluster %q, not to %q", name.Node, name.Cluster, c.Name.Cluster)
	}
	if err == nil && c.Accept != nil {
		err = c.Accept(name)
	}
	return name, err
}

// Identify returns the node at the other end of a connection that Secure returned.
func (c *Credentials) Identify(nc net.Conn) (ids.NodeID, error) {
	if p := protocol(nc); p != linkProtocol && p != askProtocol {
		return 0, errs.New(errs.AccessDenied, "the other end has not shown a certificate")
	}
	name, err := NameOf(nc.(*tls.Conn).ConnectionState().PeerCertificates[0]) // verified in the handshake
	return name.Node, err
}

// Joining reports whether the other end of a connection that Secure returned has no certificate and wants to join.
func Joining(nc net.Conn) bool { return protocol(nc) == joinProtocol }

// Asking reports whether the other end of a connection that Secure returned is a node, see Identify, that wants
// something from this one.
func Asking(nc net.Conn) bool { return protocol(nc) == askProtocol }

// protocol returns what is spoken inside TLS; "" where there is none.
func protocol(nc net.Conn) string {
	tc, ok := nc.(*tls.Conn)
	if !ok {
		return ""
	}
	return tc.ConnectionState().NegotiatedProtocol
}

// DialAsk shakes hands with another node, to ask it for something.
func (c *Credentials) DialAsk(ctx context.Context, nc net.Conn, peer ids.NodeID) (net.Conn, error) {
	tc := tls.Client(nc, c.client(peer, askProtocol))
	return tc, tc.HandshakeContext(ctx)
}

// DialJoin shakes hands, as one who wants to join, with a member of the cluster that the fingerprint names.
func DialJoin(ctx context.Context, nc net.Conn, want Fingerprint, clock func() time.Time) (net.Conn, error) {
	tc := tls.Client(nc, &tls.Config{
		MinVersion: tls.VersionTLS13, Time: clock, InsecureSkipVerify: true, NextProtos: []string{joinProtocol},
		VerifyConnection: func(s tls.ConnectionState) error { return checkPinned(s, want, clock()) },
	})
	return tc, tc.HandshakeContext(ctx)
}

// checkPinned wants the chain of a node of the cluster.
func checkPinned(s tls.ConnectionState, want Fingerprint, now time.Time) error {
	if s.NegotiatedProtocol != joinProtocol {
		return errs.New(errs.AccessDenied, "the other end does not speak %s", joinProtocol)
	}
	if n := len(s.PeerCertificates); n != 2 || sha256.Sum256(s.PeerCertificates[1].Raw) != want {
		return errs.New(errs.AccessDenied, "the node there does not belong to the cluster of the token, %s", want.Short())
	}
	a, err := ParseAuthority(s.PeerCertificates[1].Raw, nil)
	if err != nil {
		return err
	}
	_, err = a.Verify(s.PeerCertificates[0], now)
	return err
}
