package tcp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"dfs/errs"
	"dfs/ids"
)

// Kinds of handshake messages.
const (
	shakeHello   = 1
	shakeRefusal = 2
	shakeReady   = 3
)

const (
	shakeMagic  = "dfsF"
	shakeFormat = 1
	shakeSize   = 16
)

// greeting is one message of the handshake.
type greeting struct {
	kind     uint8
	from, to ids.NodeID
	body     []byte
}

// refusal is a peer's reason not to talk to this node.
type refusal struct {
	peer   ids.NodeID
	reason string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("node %d refused this node: %s", r.peer, r.reason)
}
func (r *refusal) Unwrap() error { return errs.AccessDenied }

func writeGreeting(w io.Writer, g greeting) error {
	body := g.body[:min(len(g.body), MaxHello)]
	b := make([]byte, shakeSize, shakeSize+len(body))
	copy(b, shakeMagic)
	b[4], b[5] = shakeFormat, g.kind
	binary.LittleEndian.PutUint16(b[6:], uint16(len(body)))
	binary.LittleEndian.PutUint32(b[8:], uint32(g.from))
	binary.LittleEndian.PutUint32(b[12:], uint32(g.to))
	_, err := w.Write(append(b, body...))
	return err
}

// readGreeting reads one message. With an error about the format, g says who sent it.
func readGreeting(r io.Reader) (g greeting, err error) {
	var b [shakeSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return g, fmt.Errorf("handshake: %w", err)
	}
	if string(b[:4]) != shakeMagic {
		return g, errs.New(errs.Corrupt, "handshake: the other end does not speak this protocol")
	}
	g.kind = b[5]
	g.from = ids.NodeID(binary.LittleEndian.Uint32(b[8:]))
	g.to = ids.NodeID(binary.LittleEndian.Uint32(b[12:]))
	g.body = make([]byte, binary.LittleEndian.Uint16(b[6:]))
	if _, err := io.ReadFull(r, g.body); err != nil {
		return g, fmt.Errorf("handshake: %w", err)
	}
	if b[4] != shakeFormat && g.kind != shakeRefusal {
		return g, errs.New(errs.NotSupported, "handshake: node %d speaks format %d and node %d format %d; run the same version on both",
			g.from, b[4], g.to, shakeFormat)
	}
	return g, nil
}

// greet shakes hands on a connection that this node dialled to peer.
func (f *Fabric) greet(nc net.Conn, peer ids.NodeID) error {
	if err := writeGreeting(nc, greeting{shakeHello, f.cfg.Self, peer, f.cfg.Hello()}); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	g, err := readGreeting(nc)
	if refusedByTLS(err) {
		err = errs.Wrap(errs.AccessDenied, err, "node %d does not accept this node's certificate, its log says why", peer)
	}
	if err == nil {
		err = f.judge(nc, g, peer)
	}
	if err != nil {
		f.refuse(nc, g.from, err)
		return err
	}
	return writeGreeting(nc, greeting{shakeReady, f.cfg.Self, peer, nil})
}

// refusedByTLS reports whether the other end ended a TLS connection because of what this one showed. The dialer
// learns that only when it reads.
func refusedByTLS(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// welcome shakes hands on a connection that came in, and returns who it is. With an error the peer may
// be nil: a stranger.
func (f *Fabric) welcome(nc net.Conn) (*peer, error) {
	g, err := readGreeting(nc)
	p := f.peer(g.from)
	switch {
	case err != nil:
	case p == nil:
		err = errs.New(errs.AccessDenied, "node %d knows no node %d: it was never let in, or was removed", f.cfg.Self, g.from)
	case p.gone():
		err = errs.New(errs.AccessDenied, "node %d was removed from the cluster, says node %d", g.from, f.cfg.Self)
	case g.from > f.cfg.Self:
		err = errs.New(errs.Invalid, "node %d must not dial node %d: the lower id dials", g.from, f.cfg.Self)
	default:
		err = f.judge(nc, g, g.from)
	}
	if err != nil {
		f.refuse(nc, g.from, err)
		return p, err
	}
	if err := writeGreeting(nc, greeting{shakeHello, f.cfg.Self, g.from, f.cfg.Hello()}); err != nil {
		return p, fmt.Errorf("handshake: %w", err)
	}
	ready, err := readGreeting(nc)
	switch {
	case err != nil:
		return p, err
	case ready.kind == shakeRefusal:
		return p, &refusal{p.id, string(ready.body)}
	case ready.kind != shakeReady || ready.from != g.from:
		return p, errs.New(errs.Corrupt, "handshake: node %d did not say that it is ready", g.from)
	}
	return p, nil
}

// judge decides about the hello g, which must come from peer.
func (f *Fabric) judge(nc net.Conn, g greeting, peer ids.NodeID) error {
	switch {
	case g.kind == shakeRefusal:
		return &refusal{peer, string(g.body)}
	case g.kind != shakeHello:
		return errs.New(errs.Corrupt, "handshake: node %d did not say hello", g.from)
	case g.from != peer:
		return errs.New(errs.Invalid, "node %d answers at the address of node %d", g.from, peer)
	case g.to != f.cfg.Self:
		return errs.New(errs.Invalid, "node %d answers at the address of node %d", f.cfg.Self, g.to)
	}
	if f.cfg.Identify != nil {
		proven, err := f.cfg.Identify(nc)
		if err != nil {
			return errs.Wrap(errs.AccessDenied, err, "node %d has not proven who it is", peer)
		}
		if proven != peer {
			return errs.New(errs.AccessDenied, "node %d has the certificate of node %d", peer, proven)
		}
	}
	return f.cfg.Check(peer, g.body)
}

// refuse tells peer why this node does not talk to it, unless nobody is known to listen or it is the peer
// that refused. The connection is about to be closed, so an error to tell it is of no consequence.
func (f *Fabric) refuse(nc net.Conn, peer ids.NodeID, err error) {
	if peer == 0 || isRefusal(err) {
		return
	}
	_ = writeGreeting(nc, greeting{shakeRefusal, f.cfg.Self, peer, []byte(err.Error())})
}
