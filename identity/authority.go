package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net/url"
	"time"

	"dfs/errs"
)

// How long certificates hold. A node's is renewed when a third of its time is left (Credentials).
const (
	authorityYears = 50
	nodeTime       = 365 * 24 * time.Hour
	// backdate lets a certificate be used at once where clocks differ.
	backdate = time.Hour
)

// Fingerprint names an authority, and so a cluster: the SHA-256 of its certificate.
type Fingerprint [sha256.Size]byte

// String is the fingerprint in hexadecimal.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// Short is enough of it for people to compare.
func (f Fingerprint) Short() string { return hex.EncodeToString(f[:4]) }

// Authority signs the certificates of a cluster's nodes.
type Authority struct {
	Cert *x509.Certificate
	Key  ed25519.PrivateKey // nil where only certificates are checked
}

// NewAuthority makes the authority of a new cluster.
func NewAuthority(cluster string, now time.Time) (*Authority, error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, errs.Wrap(errs.IO, err, "make the cluster's key")
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "dfs " + cluster},
		NotBefore: now.Add(-backdate), NotAfter: now.AddDate(authorityYears, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, key)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "make the cluster's certificate")
	}
	return ParseAuthority(der, key)
}

// ParseAuthority reads an authority's certificate; key may be nil.
func ParseAuthority(der []byte, key ed25519.PrivateKey) (*Authority, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errs.Wrap(errs.Corrupt, err, "certificate of the cluster")
	}
	pub, ok := cert.PublicKey.(ed25519.PublicKey)
	if !ok || !cert.IsCA || cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) != nil {
		return nil, errs.New(errs.Corrupt, "certificate of the cluster is no authority's")
	}
	if key != nil && !pub.Equal(key.Public()) {
		return nil, errs.New(errs.Corrupt, "key of the cluster does not belong to its certificate")
	}
	return &Authority{cert, key}, nil
}

// Fingerprint returns the fingerprint of the authority.
func (a *Authority) Fingerprint() Fingerprint { return sha256.Sum256(a.Cert.Raw) }

// Issue signs a certificate that says that the holder of the key is the node.
func (a *Authority) Issue(name Name, pub ed25519.PublicKey, now time.Time) (*x509.Certificate, error) {
	if a.Key == nil {
		return nil, errs.New(errs.NotPermitted, "this node does not hold the key of the cluster")
	}
	if err := name.validate(); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), URIs: []*url.URL{name.url()},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(nodeTime),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Cert, pub, a.Key)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "make the certificate of node %d", name.Node)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "make the certificate of node %d", name.Node)
	}
	return cert, nil
}

// serial is a random number of 127 bits: certificates are told apart without anybody counting them.
func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // it never fails
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}

// NewKey makes the key of a node.
func NewKey() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, errs.Wrap(errs.IO, err, "make a key")
	}
	return key, nil
}

// The PEM types of files.
const (
	pemCertificate = "CERTIFICATE"
	pemKey         = "PRIVATE KEY"
)

// EncodeCertificate writes a certificate as files hold it.
func EncodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der})
}

// DecodeCertificate returns the bytes of the one certificate of a file.
func DecodeCertificate(text []byte) ([]byte, error) { return decodePEM(text, pemCertificate) }

// EncodeKey writes a key as files hold it.
func EncodeKey(key ed25519.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "encode a key")
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}

// DecodeKey reads a file with a key.
func DecodeKey(text []byte) (ed25519.PrivateKey, error) {
	der, err := decodePEM(text, pemKey)
	if err != nil {
		return nil, err
	}
	any, err := x509.ParsePKCS8PrivateKey(der)
	key, ok := any.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, errs.New(errs.Corrupt, "not an Ed25519 key")
	}
	return key, nil
}

func decodePEM(text []byte, kind string) ([]byte, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != kind || len(rest) != 0 {
		return nil, errs.New(errs.Corrupt, "not a file with one %s", kind)
	}
	return block.Bytes, nil
}
