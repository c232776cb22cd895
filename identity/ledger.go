package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"dfs/errs"
	"dfs/ids"
)

// Ledger is what a node remembers of the tokens that it made. The owner stores it after each change and guards
// it against use by two goroutines.
type Ledger struct {
	Tokens []Issued `json:"tokens"`
}

// Issued is one token.
type Issued struct {
	Hash    string     `json:"hash"` // of the secret (ID4)
	Expires time.Time  `json:"expires"`
	Replace ids.NodeID `json:"replace,omitempty"`
	Used    *Use       `json:"used,omitempty"`
}

// Use says who came in with a token.
type Use struct {
	At      time.Time  `json:"at"`
	Key     string     `json:"key"` // hash of the public key (ID3)
	Node    ids.NodeID `json:"node"`
	Address string     `json:"address"`
	Done    bool       `json:"done"`            // the node is in the configuration
	Waits   bool       `json:"waits,omitempty"` // it is to come into the configuration once it runs
}

// Limits of a ledger.
const (
	maxLedger   = 1 << 20
	maxUnused   = 256                 // tokens out at one time
	remembered  = 30 * 24 * time.Hour // after it expired, a token is still known as used or expired
	maxLifetime = 30 * 24 * time.Hour
)

// Add enters a new token.
func (l *Ledger) Add(s Secret, expires, now time.Time, replace ids.NodeID) error {
	if !expires.After(now) || expires.Sub(now) > maxLifetime {
		return errs.New(errs.Invalid, "a token expires after at least a second and at most %v", maxLifetime)
	}
	l.Tokens = slices.DeleteFunc(l.Tokens, func(t Issued) bool { return now.Sub(t.Expires) > remembered })
	unused := 0
	for _, t := range l.Tokens {
		if t.Used == nil && now.Before(t.Expires) {
			unused++
		}
	}
	if unused >= maxUnused {
		return errs.New(errs.Busy, "%d tokens are waiting to be used", unused)
	}
	h := s.hash()
	l.Tokens = append(l.Tokens, Issued{Hash: hex.EncodeToString(h[:]), Expires: expires.UTC(), Replace: replace})
	return nil
}

// Redeem finds the token of the secret and gives it to the key (ID3). The caller fills in the rest of Used and
// stores the ledger before it acts on it.
func (l *Ledger) Redeem(s Secret, key ed25519.PublicKey, now time.Time) (*Issued, error) {
	h, k := s.hash(), sha256.Sum256(key)
	hash, who := hex.EncodeToString(h[:]), hex.EncodeToString(k[:])
	// Comparing hashes of random secrets tells nobody anything by the time it takes.
	i := slices.IndexFunc(l.Tokens, func(t Issued) bool { return t.Hash == hash })
	if i < 0 {
		return nil, errs.New(errs.AccessDenied, "this node has made no such token")
	}
	t := &l.Tokens[i]
	switch {
	case t.Used != nil && t.Used.Key != who:
		return nil, errs.New(errs.AccessDenied, "the token was used at %s, by node %d at %s", t.Used.At.Format(time.RFC3339), t.Used.Node, t.Used.Address)
	case !now.Before(t.Expires):
		return nil, errs.New(errs.AccessDenied, "the token expired at %s", t.Expires.Format(time.RFC3339))
	case t.Used == nil:
		t.Used = &Use{At: now.UTC(), Key: who}
	}
	return t, nil
}

// Encode returns the bytes that DecodeLedger reads.
func (l *Ledger) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "encode the tokens")
	}
	return append(b, '\n'), nil
}

// DecodeLedger reads what Encode wrote.
func DecodeLedger(b []byte) (*Ledger, error) {
	var l Ledger
	if err := decodeJSON(b, maxLedger, &l); err != nil {
		return nil, errs.Wrap(errs.Corrupt, err, "list of tokens")
	}
	return &l, nil
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
