package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"dfs/errs"
	"dfs/ids"
)

// Name is who a certificate speaks for.
type Name struct {
	Cluster string
	Node    ids.NodeID
	Issue   int64 // unix seconds at which the node was let in (ID2)
}

// ValidCluster reports whether a cluster may have the name: it can stand anywhere unquoted.
func ValidCluster(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
	return s != "" && len(s) <= 64 && strings.Trim(s, allowed) == ""
}

func (n Name) validate() error {
	if !ValidCluster(n.Cluster) || n.Node == 0 || n.Issue <= 0 {
		return errs.New(errs.Invalid, "%+v is no node's name", n)
	}
	return nil
}

func (n Name) url() *url.URL {
	return &url.URL{Scheme: "dfs", Path: fmt.Sprintf("/%s/%d/%d", n.Cluster, n.Node, n.Issue)}
}

// NameOf reads the name in a certificate. It does not say that the certificate is good: Verify does.
func NameOf(cert *x509.Certificate) (Name, error) {
	bad := errs.New(errs.AccessDenied, "the certificate is not one of a node")
	if len(cert.URIs) != 1 || cert.URIs[0].Scheme != "dfs" || cert.URIs[0].Host != "" || cert.IsCA {
		return Name{}, bad
	}
	parts := strings.Split(cert.URIs[0].Path, "/")
	if len(parts) != 4 || parts[0] != "" {
		return Name{}, bad
	}
	node, err1 := strconv.ParseUint(parts[2], 10, 32)
	issue, err2 := strconv.ParseInt(parts[3], 10, 64)
	n := Name{Cluster: parts[1], Node: ids.NodeID(node), Issue: issue}
	if err1 != nil || err2 != nil || n.validate() != nil || n.url().String() != cert.URIs[0].String() {
		return Name{}, bad
	}
	return n, nil
}

// Verify checks that the authority signed the certificate for a node, and that it holds at the moment (ID1).
func (a *Authority) Verify(cert *x509.Certificate, now time.Time) (Name, error) {
	roots := x509.NewCertPool()
	roots.AddCert(a.Cert)
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		_, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
		if err != nil {
			return Name{}, a.explain(cert, now, err)
		}
	}
	return NameOf(cert)
}

// explain says in words why a certificate does not verify, and what to do.
func (a *Authority) explain(cert *x509.Certificate, now time.Time, err error) error {
	who := "a certificate"
	if name, err := NameOf(cert); err == nil {
		who = fmt.Sprintf("the certificate of node %d of cluster %q", name.Node, name.Cluster)
	}
	const form = "2006-01-02T15:04:05Z07:00"
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		return errs.New(errs.AccessDenied, "%s was not signed by this cluster, %s: a node comes in with a token (dfs token create here, dfs join there)",
			who, a.Fingerprint().Short())
	case now.After(cert.NotAfter):
		return errs.New(errs.AccessDenied, "%s expired at %s, it is %s: compare the clocks; a node renews its certificate whenever it starts",
			who, cert.NotAfter.UTC().Format(form), now.UTC().Format(form))
	case now.Before(cert.NotBefore):
		return errs.New(errs.AccessDenied, "%s holds from %s on, it is %s: set the clocks (chronyc tracking)",
			who, cert.NotBefore.UTC().Format(form), now.UTC().Format(form))
	}
	return errs.Wrap(errs.AccessDenied, err, "%s is not good", who)
}
