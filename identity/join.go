package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"io"

	"dfs/advice"
	"dfs/errs"
	"dfs/ids"
)

// Format is the version of requests and answers.
const Format = 2

// Limits of what goes over the wire (ID5).
const (
	maxRequest = 16 << 10
	maxAnswer  = 256 << 10
)

// Request is what a joiner asks.
type Request struct {
	Format  int    `json:"format"`
	Token   string `json:"token"`
	CSR     []byte `json:"csr"` // the public key, and the proof that the joiner has the other half
	Address string `json:"address"`
}

// Answer is what it gets: Failure, or all the rest.
type Answer struct {
	Format  int      `json:"format"`
	Failure *Failure `json:"failure,omitempty"`

	Cluster      string     `json:"cluster,omitempty"`
	Node         ids.NodeID `json:"node,omitempty"`
	Certificate  []byte     `json:"certificate,omitempty"`
	Authority    []byte     `json:"authority,omitempty"`
	AuthorityKey []byte     `json:"authority_key,omitempty"`
	Nodes        []Peer     `json:"nodes,omitempty"` // the configuration, with the joiner in it
	Shards       int        `json:"shards,omitempty"`
	Replicas     int        `json:"replicas,omitempty"`
	Insecure     bool       `json:"insecure,omitempty"` // links are not encrypted
}

// Wish is what a node asks another for: to be taken out of the configuration, or just whether it belongs to the
// cluster. It gets an Answer with nothing in it, or a Failure.
type Wish struct {
	Format int  `json:"format"`
	Leave  bool `json:"leave,omitempty"`
	Belong bool `json:"belong,omitempty"`
}

// Check fails if the wish is not understood.
func (w *Wish) Check() error {
	if w.Format != Format || w.Leave == w.Belong {
		err := errs.New(errs.NotSupported, "a wish of format %d is not understood, this node knows %d", w.Format, Format)
		return advice.Add(err, "use the same version of dfs on both; see: dfs version")
	}
	return nil
}

// Peer is a configured node and where it listens.
type Peer struct {
	Node ids.NodeID `json:"node"`
	Addr string     `json:"addr"`
}

// Failure is an error on its way to the joiner.
type Failure struct {
	Kind errs.Kind `json:"kind"`
	Text string    `json:"text"`
	Hint string    `json:"hint,omitempty"`
}

// Failed packs an error.
func Failed(err error) Answer {
	return Answer{Format: Format, Failure: &Failure{Kind: errs.KindOf(err), Text: err.Error(), Hint: advice.Of(err)}}
}

// Err unpacks it; nil if there is none.
func (a *Answer) Err() error {
	if a.Failure == nil {
		return nil
	}
	err := errs.New(a.Failure.Kind, "%s", a.Failure.Text)
	if a.Failure.Hint != "" {
		err = advice.Add(err, "%s", a.Failure.Hint)
	}
	return err
}

// NewRequest makes the request of the holder of key.
func NewRequest(t Token, key ed25519.PrivateKey, address string) (Request, error) {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return Request{}, errs.Wrap(errs.Invalid, err, "make a certificate request")
	}
	return Request{Format: Format, Token: t.Encode(), CSR: csr, Address: address}, nil
}

// Check returns what the request says, if it makes sense. Whether the token is good is another matter.
func (r *Request) Check() (t Token, key ed25519.PublicKey, err error) {
	if r.Format != Format {
		err := errs.New(errs.NotSupported, "the joiner speaks format %d, this node %d", r.Format, Format)
		return t, nil, advice.Add(err, "use the same version of dfs on both; see: dfs version")
	}
	if t, err = ParseToken(r.Token); err != nil {
		return t, nil, err
	}
	csr, err := x509.ParseCertificateRequest(r.CSR)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return t, nil, errs.Wrap(errs.Invalid, err, "certificate request")
	}
	key, ok := csr.PublicKey.(ed25519.PublicKey)
	if !ok {
		return t, nil, errs.New(errs.Invalid, "the request has no Ed25519 key")
	}
	return t, key, nil
}

// Check looks at an answer that is no failure: it must be of the authority of the fingerprint, for the key. It
// returns the authority, with its key if it came along.
func (a *Answer) Check(want Fingerprint, key ed25519.PrivateKey) (*Authority, error) {
	if a.Format != Format {
		return nil, errs.New(errs.NotSupported, "the member speaks format %d, this program %d", a.Format, Format)
	}
	var authorityKey ed25519.PrivateKey
	if a.AuthorityKey != nil {
		any, err := x509.ParsePKCS8PrivateKey(a.AuthorityKey)
		k, ok := any.(ed25519.PrivateKey)
		if err != nil || !ok {
			return nil, errs.New(errs.Corrupt, "the answer has a key of the cluster that is none")
		}
		authorityKey = k
	}
	authority, err := ParseAuthority(a.Authority, authorityKey)
	if err != nil {
		return nil, err
	}
	if authority.Fingerprint() != want {
		return nil, errs.New(errs.AccessDenied, "the answer is of cluster %s, the token of %s", authority.Fingerprint().Short(), want.Short())
	}
	c, err := NewCredentials(authority, a.Certificate, key, nil)
	if err != nil {
		return nil, err
	}
	if c.Name.Node != a.Node || c.Name.Cluster != a.Cluster || a.Shards < 1 || a.Replicas < 1 || len(a.Nodes) == 0 {
		return nil, errs.New(errs.Corrupt, "the answer contradicts itself")
	}
	return authority, nil
}

// EncodeAuthorityKey returns the bytes of Answer.AuthorityKey.
func EncodeAuthorityKey(a *Authority) ([]byte, error) {
	if a.Key == nil {
		return nil, nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(a.Key)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "encode the key of the cluster")
	}
	return der, nil
}

// WriteMessage sends a request or an answer.
func WriteMessage(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return errs.Wrap(errs.Invalid, err, "encode message")
	}
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body)))
	if _, err := w.Write(append(b, body...)); err != nil {
		return errs.Wrap(errs.Unavailable, err, "send message")
	}
	return nil
}

// ReadRequest reads a request.
func ReadRequest(r io.Reader) (req Request, err error) {
	err = readMessage(r, maxRequest, &req)
	return req, err
}

// ReadWish reads a wish.
func ReadWish(r io.Reader) (w Wish, err error) {
	err = readMessage(r, maxRequest, &w)
	return w, err
}

// ReadAnswer reads an answer.
func ReadAnswer(r io.Reader) (a Answer, err error) {
	err = readMessage(r, maxAnswer, &a)
	return a, err
}

func readMessage(r io.Reader, limit int, into any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return errs.Wrap(errs.Unavailable, err, "read message")
	}
	size := binary.LittleEndian.Uint32(head[:])
	if uint64(size) > uint64(limit) {
		return errs.New(errs.TooLarge, "a message of %d bytes is longer than %d", size, limit)
	}
	// What has not come is not allocated for.
	body, err := io.ReadAll(io.LimitReader(r, int64(size)))
	if err != nil {
		return errs.Wrap(errs.Unavailable, err, "read message")
	}
	if len(body) != int(size) {
		return errs.New(errs.Unavailable, "the message was cut off after %d of %d bytes", len(body), size)
	}
	return decodeJSON(body, limit, into)
}

// decodeJSON reads one value strictly (ID5).
func decodeJSON(b []byte, limit int, into any) error {
	if len(b) > limit {
		return errs.New(errs.TooLarge, "%d bytes are more than %d", len(b), limit)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return errs.Wrap(errs.Invalid, err, "not understood")
	}
	if dec.More() {
		return errs.New(errs.Invalid, "something stands behind the end")
	}
	return nil
}
