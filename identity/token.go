package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"time"

	"dfs/errs"
	"dfs/ids"
)

// Token lets one node into a cluster, once. What it says is sealed by the cluster's authority, so every node can tell
// whether one is genuine, and none has to remember it.
//
//	"dfs2_" and, in base64 for URLs: fingerprint 32, number of the token 16, expiry in unix seconds 8, number of the
//	node to replace or 0 4, length and name of the cluster, addresses with their lengths, 1 byte each, the
//	authority's signature of all that 64, CRC-32C of all that 4. Numbers are little-endian.
type Token struct {
	Authority Fingerprint
	ID        [16]byte // random; tells tokens apart
	Expires   time.Time
	Replace   ids.NodeID // the number to take over; 0 for a new one
	Cluster   string
	Addresses []string // where nodes of the cluster listen, most useful first
	Seal      [ed25519.SignatureSize]byte
}

// MaxAddresses is how many addresses a token names.
const MaxAddresses = 8

// maxLifetime is how long a token can be used at most.
const maxLifetime = 30 * 24 * time.Hour

// sealed is what the authority's key signs nothing else behind.
const sealed = "dfs token 2\x00"

// NewToken makes a token of the authority, which must have its key. Of the addresses the first MaxAddresses count.
func (a *Authority) NewToken(cluster string, addresses []string, lifetime time.Duration, replace ids.NodeID, now time.Time) (Token, error) {
	if a.Key == nil {
		return Token{}, errs.New(errs.NotPermitted, "this node does not hold the key of the cluster")
	}
	if lifetime < time.Second || lifetime > maxLifetime {
		return Token{}, errs.New(errs.Invalid, "a token expires after at least a second and at most %v", maxLifetime)
	}
	t := Token{
		Authority: a.Fingerprint(), Expires: time.Unix(now.Add(lifetime).Unix(), 0), Replace: replace, Cluster: cluster,
		Addresses: addresses[:min(len(addresses), MaxAddresses)],
	}
	_, _ = rand.Read(t.ID[:]) // it never fails
	copy(t.Seal[:], ed25519.Sign(a.Key, t.body([]byte(sealed))))
	return t, nil
}

// CheckToken fails with errs.AccessDenied unless the authority has sealed the token for the cluster, and it has not expired.
// Whether it was used is another matter.
func (a *Authority) CheckToken(t Token, cluster string, now time.Time) error {
	key, ok := a.Cert.PublicKey.(ed25519.PublicKey)
	switch {
	case t.Authority != a.Fingerprint() || t.Cluster != cluster:
		return errs.New(errs.AccessDenied, "the token is one of cluster %q, %s, this is %q, %s", t.Cluster, t.Authority.Short(), cluster, a.Fingerprint().Short())
	case !ok || !ed25519.Verify(key, t.body([]byte(sealed)), t.Seal[:]):
		return errs.New(errs.AccessDenied, "the cluster has made no such token")
	case !now.Before(t.Expires):
		return ErrExpired(t.Expires)
	}
	return nil
}

// ErrExpired says that a token cannot be used any more.
func ErrExpired(at time.Time) error {
	return errs.New(errs.AccessDenied, "the token expired at %s", at.UTC().Format(time.RFC3339))
}

// Limits of a token.
const (
	tokenPrefix = "dfs2_"
	maxToken    = 8192
	tokenHead   = 32 + 16 + 8 + 4
	tokenTail   = ed25519.SignatureSize + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// body appends what is sealed. Names and addresses are at most 255 bytes long.
func (t Token) body(b []byte) []byte {
	b = append(append(b, t.Authority[:]...), t.ID[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(t.Expires.Unix()))
	b = binary.LittleEndian.AppendUint32(b, uint32(t.Replace))
	for _, s := range append([]string{t.Cluster}, t.Addresses...) {
		b = append(append(b, byte(len(s))), s...)
	}
	return b
}

// Encode returns the token as it is typed.
func (t Token) Encode() string {
	b := append(t.body(nil), t.Seal[:]...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// ParseToken reads a token as it was typed.
func ParseToken(text string) (Token, error) {
	text = strings.TrimSpace(text)
	body, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok || len(text) > maxToken {
		return Token{}, errs.New(errs.Invalid, "this is no token: one begins with %s", tokenPrefix)
	}
	damaged := errs.New(errs.Invalid, "the token is damaged: not all of it was copied, or something was changed")
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || len(b) < tokenHead+tokenTail {
		return Token{}, damaged
	}
	b, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(b, castagnoli) != sum {
		return Token{}, damaged
	}
	var t Token
	b, seal := b[:len(b)-ed25519.SignatureSize], b[len(b)-ed25519.SignatureSize:]
	copy(t.Seal[:], seal)
	copy(t.Authority[:], b)
	copy(t.ID[:], b[32:])
	t.Expires = time.Unix(int64(binary.LittleEndian.Uint64(b[48:])), 0)
	t.Replace = ids.NodeID(binary.LittleEndian.Uint32(b[56:]))
	var words []string
	for b = b[tokenHead:]; len(b) > 0; {
		n := int(b[0])
		if n > len(b)-1 {
			return Token{}, damaged
		}
		words, b = append(words, string(b[1:1+n])), b[1+n:]
	}
	if len(words) < 2 || len(words) > MaxAddresses+1 || !ValidCluster(words[0]) {
		return Token{}, damaged
	}
	t.Cluster, t.Addresses = words[0], words[1:]
	return t, nil
}
