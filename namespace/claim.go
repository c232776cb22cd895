package namespace

import (
	"encoding/binary"
	"time"

	"dfs/errs"
	"dfs/ids"
	"dfs/index"
)

// TokenID tells tokens apart with which nodes come into the cluster.
type TokenID [16]byte

// KeyHash is the hash of a node's public key.
type KeyHash [32]byte

// ClaimState is how far a node is that came with a token. It only grows.
type ClaimState byte

// The states of a claim.
const (
	Claimed  ClaimState = 1 // it has its number; the node that it replaces is to go first
	Expected ClaimState = 2 // it is to come into the configuration once it runs
	Closed   ClaimState = 3 // it came, or is not to come any more
)

// Claim uses a token: whoever is first has it, for ever. A new node gets a number that none had before. Asked again by
// the same key it changes nothing but the address of one that has not come yet. Who has the number or the address
// already, and has not come, is not expected any more. Result: ClaimResult. Kinds: AccessDenied, if the
// token has expired; Invalid.
type Claim struct {
	Token   TokenID
	Key     KeyHash
	Address string     // where the node will listen
	Expires int64      // of the token, nanoseconds since the unix epoch
	Replace ids.NodeID // the number that it takes over, 0 for a new one
	Highest ids.NodeID // a number that a node has
}

// RaiseClaim brings a claim to a state, if it is not beyond it. Result: none.
type RaiseClaim struct {
	Token TokenID
	State ClaimState
}

// ClaimRecord says who has a token.
type ClaimRecord struct {
	State   ClaimState
	Key     KeyHash
	Node    ids.NodeID
	Address string
	At      int64 // when it was used, nanoseconds since the unix epoch
	Expires int64
}

// ClaimResult is what Claim returns: who has the token now.
type ClaimResult struct{ ClaimRecord }

// Limits of a claim.
const (
	MaxAddress = 1 << 10
	// MaxNode bounds the numbers of nodes, far from where counting further would begin anew.
	MaxNode ids.NodeID = 1 << 30
	// remembered is how long after it has expired a used token is still known to be that.
	remembered = int64(30 * 24 * time.Hour)
)

// ChangesClaims says of an encoded operation whether other nodes may be expected after it.
func ChangesClaims(op []byte) bool {
	return len(op) > 0 && (code(op[0]) == codeClaim || code(op[0]) == codeRaiseClaim)
}

// Claims calls fn for every used token that is remembered, until fn returns false.
func Claims(r index.Reader, fn func(TokenID, ClaimRecord) bool) {
	from, to := tableRange(tableClaim)
	r.Scan(from, to, func(k, v []byte) bool { return fn(TokenID(k[1:]), mustClaim(k, v)) })
}

// Encode returns the operation's bytes.
func (o Claim) Encode() []byte {
	b := append(append([]byte{byte(codeClaim)}, o.Token[:]...), o.Key[:]...)
	b = binary.AppendVarint(appendString(b, o.Address), o.Expires)
	return appendUvarints(b, uint64(o.Replace), uint64(o.Highest))
}

// Encode returns the operation's bytes.
func (o RaiseClaim) Encode() []byte {
	return append(append([]byte{byte(codeRaiseClaim)}, o.Token[:]...), byte(o.State))
}

// claimOp takes an operation on claims.
func (d *decoder) claimOp(c code) Op {
	switch c {
	case codeClaim:
		o := Claim{}
		copy(o.Token[:], d.take(len(o.Token)))
		copy(o.Key[:], d.take(len(o.Key)))
		o.Address, o.Expires = d.string(MaxAddress), d.varint()
		o.Replace, o.Highest = ids.NodeID(d.uint32()), ids.NodeID(d.uint32())
		return o
	case codeRaiseClaim:
		o := RaiseClaim{}
		copy(o.Token[:], d.take(len(o.Token)))
		o.State = d.claimState()
		return o
	}
	return nil
}

func (d *decoder) claimState() ClaimState {
	s := ClaimState(d.byte())
	d.failed = d.failed || s < Claimed || s > Closed
	return s
}

func (r ClaimRecord) encode() []byte {
	b := append([]byte{byte(r.State)}, r.Key[:]...)
	b = appendString(binary.AppendUvarint(b, uint64(r.Node)), r.Address)
	return binary.AppendVarint(binary.AppendVarint(b, r.At), r.Expires)
}

func (d *decoder) claim() (r ClaimRecord) {
	r.State = d.claimState()
	copy(r.Key[:], d.take(len(r.Key)))
	r.Node, r.Address = ids.NodeID(d.uint32()), d.string(MaxAddress)
	r.At, r.Expires = d.varint(), d.varint()
	return r
}

// DecodeClaimResult reads the result of Claim.
func DecodeClaimResult(b []byte) (ClaimResult, error) {
	d := decoder{rest: b}
	r := ClaimResult{d.claim()}
	return r, d.resultErr("claim", b)
}

func decodeClaim(v []byte) (ClaimRecord, error) {
	r, err := DecodeClaimResult(v)
	return r.ClaimRecord, err
}

func mustClaim(k, v []byte) ClaimRecord {
	r, err := decodeClaim(v)
	if err != nil {
		panicf("T6: claim %x: %v", k[1:], err)
	}
	return r
}

func (o Claim) apply(c *change) (errs.Kind, []byte) {
	key := claimKey(o.Token)
	v, used := c.r.Get(key)
	if !used {
		return o.first(c, key)
	}
	r := mustClaim(key, v)
	if r.Key == o.Key && r.State < Closed && r.Address != o.Address {
		r.Address = o.Address
		o.supersede(c, &r)
		c.put(key, r.encode())
	}
	return errs.OK, r.encode()
}

// first notes who has the token from now on.
func (o Claim) first(c *change, key []byte) (errs.Kind, []byte) {
	if c.now >= o.Expires {
		return errs.AccessDenied, nil
	}
	r := ClaimRecord{State: Claimed, Key: o.Key, Node: o.Replace, Address: o.Address, At: c.now, Expires: o.Expires}
	if o.Replace == 0 {
		r.State, r.Node = Expected, max(o.Highest, lastNode(c.r))+1
	}
	if r.Node > MaxNode {
		return errs.Invalid, nil
	}
	if o.Replace == 0 {
		c.put(nodeKey(), binary.AppendUvarint(nil, uint64(r.Node)))
	}
	o.supersede(c, &r)
	c.put(key, r.encode())
	return errs.OK, r.encode()
}

// supersede closes the claims of those that r takes the place of, and forgets what is long over.
func (o Claim) supersede(c *change, r *ClaimRecord) {
	Claims(c.r, func(t TokenID, other ClaimRecord) bool {
		switch {
		case t == o.Token:
		case other.State < Closed && (other.Node == r.Node || other.Address == r.Address):
			other.State = Closed
			c.put(claimKey(t), other.encode())
		case other.State == Closed && c.now-other.Expires > remembered:
			c.delete(claimKey(t))
		}
		return true
	})
}

func (o RaiseClaim) apply(c *change) (errs.Kind, []byte) {
	key := claimKey(o.Token)
	if v, ok := c.r.Get(key); ok {
		if r := mustClaim(key, v); r.State < o.State {
			r.State = o.State
			c.put(key, r.encode())
		}
	}
	return errs.OK, nil
}

// lastNode returns the highest number that was given to a node.
func lastNode(r index.Reader) ids.NodeID {
	v, ok := r.Get(nodeKey())
	if !ok {
		return 0
	}
	d := decoder{rest: v}
	n := ids.NodeID(d.uint32())
	if !d.done() {
		panicf("T6: the highest number of a node is %x", v)
	}
	return n
}

func claimKey(t TokenID) []byte { return append([]byte{tableClaim}, t[:]...) }

func nodeKey() []byte { return []byte{tableNode} }
