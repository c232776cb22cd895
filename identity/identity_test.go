package identity

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"time"

	"dfs/errs"
	"dfs/ids"
)

// noon is when the tests take place.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newAuthority(t testing.TB, cluster string) *Authority {
	return must[*Authority](t)(NewAuthority(cluster, noon.Add(-3*nodeTime)))
}

// node makes the credentials of a node.
func node(t testing.TB, a *Authority, name Name, issued time.Time) *Credentials {
	t.Helper()
	key := must[ed25519.PrivateKey](t)(NewKey())
	cert := must[*x509.Certificate](t)(a.Issue(name, key.Public().(ed25519.PublicKey), issued))
	return must[*Credentials](t)(NewCredentials(a, cert.Raw, key, at(noon)))
}

// link has two nodes shake hands over loopback; the dialer believes that it calls peer.
func link(t *testing.T, dialer, accepter *Credentials, peer ids.NodeID) (dialed, accepted error) {
	t.Helper()
	near, far := pair(t)
	done := make(chan error, 1)
	go func() {
		nc, err := accepter.Secure(t.Context(), far, 0)
		if err == nil {
			var id ids.NodeID
			if id, err = accepter.Identify(nc); err == nil && id != dialer.Name.Node {
				t.Errorf("identified as node %d, it is %d", id, dialer.Name.Node)
			}
			_, _ = nc.Write([]byte("x"))
		} else {
			_ = far.Close()
		}
		done <- err
	}()
	nc, err := dialer.Secure(t.Context(), near, peer)
	if err == nil {
		_, err = nc.Read(make([]byte, 1)) // only this tells whether the other end accepted
	} else {
		_ = near.Close()
	}
	return err, <-done
}

func pair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	near = must[net.Conn](t)(net.Dial("tcp", l.Addr().String()))
	far = must[net.Conn](t)(l.Accept())
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return near, far
}

// ID1: who gets a link, and what is said to those who do not.
func TestLinks(t *testing.T) {
	ours, others := newAuthority(t, "photos"), newAuthority(t, "photos")
	name := func(n ids.NodeID) Name { return Name{"photos", n, noon.Unix()} }
	one := node(t, ours, name(1), noon)
	foreign := node(t, others, name(2), noon)
	old := node(t, &Authority{ours.Cert, ours.Key}, name(2), noon.Add(-2*nodeTime))
	old.Authority = must[*Authority](t)(ParseAuthority(ours.Cert.Raw, nil)) // it cannot renew
	early := node(t, ours, name(2), noon.Add(48*time.Hour))
	elsewhere := node(t, ours, Name{"music", 2, noon.Unix()}, noon)
	posing := node(t, ours, name(2), noon)
	ca := &Credentials{Authority: ours, Name: name(2), Key: ours.Key, Clock: at(noon), cert: ours.Cert}
	posing.Key = one.Key // has the certificate of 2, but not its key
	for what, c := range map[string]struct {
		two  *Credentials
		want string
	}{
		"right":           {node(t, ours, name(2), noon), ""},
		"foreign":         {foreign, `the certificate of node 2 of cluster "photos" was not signed by this cluster, ` + ours.Fingerprint().Short()},
		"expired":         {old, `the certificate of node 2 of cluster "photos" expired at 2025-11-22T12:00:00Z, it is 2026-11-22T12:00:00Z`},
		"early":           {early, `the certificate of node 2 of cluster "photos" holds from 2026-11-24T11:00:00Z on`},
		"other name":      {elsewhere, `node 2 belongs to cluster "music", not to "photos"`},
		"stolen":          {posing, "tls: "},
		"the authority's": {ca, "the certificate is not one of a node"},
	} {
		for _, dials := range []bool{true, false} {
			a, b, peer := one, c.two, ids.NodeID(2)
			if dials {
				a, b, peer = c.two, one, 1
			}
			dialed, accepted := link(t, a, b, peer)
			mine := dialed // what node 1 found
			if dials {
				mine = accepted
			}
			switch {
			case c.want == "" && (dialed != nil || accepted != nil):
				t.Errorf("%s, dialling %v: %v, %v", what, dials, dialed, accepted)
			case c.want != "" && dials && mine != nil && strings.HasPrefix(mine.Error(), "remote error: tls: bad certificate"):
				// It did not like node 1 any better, and said so first.
			case c.want != "" && (mine == nil || !strings.Contains(mine.Error(), c.want)):
				t.Errorf("ID1: %s, dialling %v: %v, want %q", what, dials, mine, c.want)
			case c.want != "" && dialed == nil:
				t.Errorf("ID1: %s, dialling %v: the dialer has a link", what, dials)
			}
		}
	}
	if err, _ := link(t, one, node(t, ours, name(3), noon), 2); err == nil || !strings.Contains(err.Error(), "node 3 answers at the address of node 2") {
		t.Errorf("ID1: node 3 in the place of node 2: %v", err)
	}
}

// ID2: who checks certificates may refuse one that was replaced.
func TestAccept(t *testing.T) {
	a := newAuthority(t, "photos")
	one, two := node(t, a, Name{"photos", 1, 100}, noon), node(t, a, Name{"photos", 2, 100}, noon)
	one.Accept = func(n Name) error {
		if n.Issue < 200 {
			return errs.New(errs.AccessDenied, "node %d was replaced", n.Node)
		}
		return nil
	}
	if _, err := link(t, two, one, 1); err == nil || !strings.Contains(err.Error(), "node 2 was replaced") {
		t.Errorf("ID2: %v", err)
	}
	if err, accepted := link(t, node(t, a, Name{"photos", 2, 200}, noon), one, 1); err != nil || accepted != nil {
		t.Errorf("ID2: the later one: %v, %v", err, accepted)
	}
}

// A node with the authority's key renews its certificate, under the same name.
func TestRenewal(t *testing.T) {
	a := newAuthority(t, "photos")
	c := node(t, a, Name{"photos", 3, 100}, noon)
	c.Clock = at(noon.Add(nodeTime/2 - time.Hour))
	if before := c.Certificate(); before != c.Certificate() || !before.NotAfter.Equal(noon.Add(nodeTime)) {
		t.Error("renewed too early")
	}
	for _, later := range []time.Duration{nodeTime * 3 / 4, 3 * nodeTime} {
		c.Clock = at(noon.Add(later))
		fresh := c.Certificate()
		if name, err := a.Verify(fresh, noon.Add(later)); err != nil || name != c.Name {
			t.Errorf("after %v: %v, %v", later, name, err)
		}
	}
	bare := node(t, a, Name{"photos", 4, 100}, noon)
	bare.Authority = must[*Authority](t)(ParseAuthority(a.Cert.Raw, nil))
	bare.Clock = at(noon.Add(nodeTime * 3 / 4))
	if got := bare.Certificate(); !got.NotAfter.Equal(noon.Add(nodeTime)) {
		t.Error("renewed without a key")
	}
}

// A joiner talks to nobody but a node of the cluster in its token; a link cannot be had that way.
func TestDialJoin(t *testing.T) {
	a, b := newAuthority(t, "photos"), newAuthority(t, "photos")
	one := node(t, a, Name{"photos", 1, 100}, noon)
	for _, c := range []struct {
		want Fingerprint
		ok   bool
	}{{a.Fingerprint(), true}, {b.Fingerprint(), false}} {
		near, far := pair(t)
		done := make(chan error, 1)
		go func() {
			nc, err := one.Secure(context.Background(), far, 0)
			if err == nil && !Joining(nc) {
				t.Error("not seen as one that joins")
			}
			if err == nil {
				if _, err := one.Identify(nc); err == nil {
					t.Error("ID1: a joiner was taken for a node")
				}
			}
			done <- err
		}()
		_, err := DialJoin(t.Context(), near, c.want, at(noon))
		if (err == nil) != c.ok || !c.ok && !strings.Contains(err.Error(), "does not belong to the cluster of the token") {
			t.Errorf("%v: %v", c.ok, err)
		}
		_ = near.Close()
		<-done
	}
	// An impostor may show the authority's certificate behind one of its own making.
	fake := node(t, b, Name{"photos", 1, 100}, noon)
	s := tls.ConnectionState{NegotiatedProtocol: joinProtocol, PeerCertificates: []*x509.Certificate{fake.cert, a.Cert}}
	if err := checkPinned(s, a.Fingerprint(), noon); err == nil {
		t.Error("ID1: an impostor was believed")
	}
}

// ID1: a node that asks another for something proves who it is as on a link.
func TestDialAsk(t *testing.T) {
	a := newAuthority(t, "photos")
	one := node(t, a, Name{"photos", 1, 100}, noon)
	for _, c := range []struct {
		asks *Credentials
		ok   bool
	}{{node(t, a, Name{"photos", 2, 100}, noon), true}, {node(t, newAuthority(t, "photos"), Name{"photos", 2, 100}, noon), false}} {
		near, far := pair(t)
		done := make(chan error, 1)
		go func() {
			nc, err := one.Secure(context.Background(), far, 0)
			if err == nil {
				if id, err := one.Identify(nc); err != nil || id != 2 || !Asking(nc) || Joining(nc) {
					t.Errorf("ID1: node %d, %v", id, err)
				}
			}
			done <- err
		}()
		_, err := c.asks.DialAsk(t.Context(), near, 1)
		_ = near.Close()
		if accepted := <-done; (err == nil && accepted == nil) != c.ok {
			t.Errorf("ID1: %v: %v, %v", c.ok, err, accepted)
		}
	}
}

func TestFiles(t *testing.T) {
	a := newAuthority(t, "photos")
	der := must[[]byte](t)(DecodeCertificate(EncodeCertificate(a.Cert.Raw)))
	key := must[ed25519.PrivateKey](t)(DecodeKey(must[[]byte](t)(EncodeKey(a.Key))))
	back := must[*Authority](t)(ParseAuthority(der, key))
	if back.Fingerprint() != a.Fingerprint() || !back.Key.Equal(a.Key) {
		t.Error("came back as another")
	}
	if _, err := ParseAuthority(der, must[ed25519.PrivateKey](t)(NewKey())); errs.KindOf(err) != errs.Corrupt {
		t.Errorf("with another key: %v", err)
	}
	if _, err := ParseAuthority(node(t, a, Name{"photos", 1, 1}, noon).cert.Raw, nil); errs.KindOf(err) != errs.Corrupt {
		t.Errorf("a node as authority: %v", err)
	}
	if _, err := back.Issue(Name{"a b", 1, 1}, key.Public().(ed25519.PublicKey), noon); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a bad name: %v", err)
	}
}

// ID5: whatever comes as a certificate is refused or understood.
func FuzzCertificate(f *testing.F) {
	a := newAuthority(f, "photos")
	f.Add(node(f, a, Name{"photos", 1, 1}, noon).cert.Raw)
	f.Add(a.Cert.Raw)
	f.Fuzz(func(t *testing.T, der []byte) {
		_, _ = ParseAuthority(der, nil)
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		if name, err := NameOf(cert); err == nil && name.validate() != nil {
			t.Errorf("ID5: %+v was accepted", name)
		}
		_, _ = a.Verify(cert, noon)
	})
}
