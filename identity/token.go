package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"time"

	"dfs/errs"
	"dfs/ids"
)

// Token lets one node into a cluster, once.
//
//	"dfs1_" and, in base64 for URLs: fingerprint 32, secret 16, expiry in unix seconds 8, number of the node to
//	replace or 0 4, length and name of the cluster, addresses with their lengths, 1 byte each, CRC-32C of all
//	that 4. Numbers are little-endian.
type Token struct {
	Authority Fingerprint
	Secret    Secret
	Expires   time.Time
	Replace   ids.NodeID // the number to take over; 0 for a new one
	Cluster   string
	Addresses []string // where the node that made it listens, most useful first
}

// Secret is what a joiner shows.
type Secret [16]byte

// NewSecret draws one.
func NewSecret() (s Secret) {
	_, _ = rand.Read(s[:]) // it never fails
	return s
}

// hash is what the ledger knows of it (ID4). The secret is random, so nothing slower is needed.
func (s Secret) hash() [32]byte { return sha256.Sum256(s[:]) }

// Limits of a token.
const (
	tokenPrefix  = "dfs1_"
	maxToken     = 2048
	maxAddresses = 8
	tokenHead    = 32 + 16 + 8 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode returns the token as it is typed. Names and addresses are at most 255 bytes long.
func (t Token) Encode() string {
	b := append([]byte(nil), t.Authority[:]...)
	b = append(b, t.Secret[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(t.Expires.Unix()))
	b = binary.LittleEndian.AppendUint32(b, uint32(t.Replace))
	for _, s := range append([]string{t.Cluster}, t.Addresses...) {
		b = append(append(b, byte(len(s))), s...)
	}
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
	if err != nil || len(b) < tokenHead+4 {
		return Token{}, damaged
	}
	b, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(b, castagnoli) != sum {
		return Token{}, damaged
	}
	var t Token
	copy(t.Authority[:], b)
	copy(t.Secret[:], b[32:])
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
	if len(words) < 2 || len(words) > maxAddresses+1 || !ValidCluster(words[0]) {
		return Token{}, damaged
	}
	t.Cluster, t.Addresses = words[0], words[1:]
	return t, nil
}
