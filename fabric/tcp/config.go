package tcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"dfs/fabric"
	"dfs/ids"
)

// Config says what a Fabric is made of. Self and Listener must be set; the rest may be left zero.
type Config struct {
	// Self is this node's id.
	Self ids.NodeID
	// Peers are the addresses of the other nodes known at the start; AddPeer adds more, RemovePeer takes away.
	// Those with a lower id dial this node and may have the address "".
	Peers map[ids.NodeID]string
	// Listener accepts the connections of nodes with a lower id. The Fabric closes it.
	Listener net.Listener
	// Hello returns what to tell a peer in the handshake, at most MaxHello bytes. Hello, Check, Secure and
	// Identify are called by several goroutines.
	Hello func() []byte
	// Check looks at a peer's hello; its error refuses the peer and is told to it.
	Check func(peer ids.NodeID, hello []byte) error
	// Refused, if set, is told when a peer refused this node, with the reason: once for each new reason.
	Refused func(peer ids.NodeID, reason string)
	// Events are the owner's callbacks.
	Events fabric.Events
	// Logger gets what an operator should know: refusals and peers that cannot be reached.
	Logger *slog.Logger

	// Dial opens a connection to an address.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Secure wraps a fresh connection, for example in TLS, and ends its handshake before ctx does. The peer is
	// 0 on the accepting side, which does not know it yet.
	Secure func(ctx context.Context, conn net.Conn, peer ids.NodeID) (net.Conn, error)
	// Identify returns the node that the other end of a secured connection has proven to be. A
	// hello in the name of another node is refused.
	Identify func(conn net.Conn) (ids.NodeID, error)
	// Divert, if set, looks at a secured connection that came in. Where it does not return nil, the connection
	// is not a link: what it returned serves it, until ctx ends with the fabric, and then it is closed.
	Divert func(conn net.Conn) (serve func(ctx context.Context))

	// HandshakeTimeout bounds dialling, and the handshake after it. Default 5 s.
	HandshakeTimeout time.Duration
	// RetryMin and RetryMax bound the pause before dialling again. Defaults 20 ms and 1 s.
	RetryMin, RetryMax time.Duration
	// Jitter returns numbers in [0,1) that spread the pauses. It is called by several goroutines.
	Jitter func() float64
	// DeadAfter breaks a connection whose peer's machine does not answer for so long, or takes no data. The
	// views suspect a peer earlier; this frees the socket. Default 10 s.
	DeadAfter time.Duration
	// MaxQueued is how many bytes of small writes, words and messages may wait for one peer before the
	// connection is given up. Default 256 MiB.
	MaxQueued int
}

// MaxHello is the longest hello in bytes.
const MaxHello = 1<<16 - 1

// withDefaults returns the configuration with the zero fields filled in.
func (c Config) withDefaults() Config {
	if c.Hello == nil {
		c.Hello = func() []byte { return nil }
	}
	if c.Check == nil {
		c.Check = func(ids.NodeID, []byte) error { return nil }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Dial == nil {
		c.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	if c.Jitter == nil {
		c.Jitter = rand.Float64
	}
	setDefault(&c.HandshakeTimeout, 5*time.Second)
	setDefault(&c.RetryMin, 20*time.Millisecond)
	setDefault(&c.RetryMax, time.Second)
	setDefault(&c.DeadAfter, 10*time.Second)
	setDefault(&c.MaxQueued, 256<<20)
	c.Events = c.Events.WithDefaults()
	return c
}

func setDefault[T time.Duration | int](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// validate reports all mistakes of a configuration with its defaults filled in.
func (c Config) validate() error {
	var all []error
	wrong := func(format string, args ...any) { all = append(all, fmt.Errorf("fabric/tcp: "+format, args...)) }
	if c.Self == 0 {
		wrong("Self must not be 0")
	}
	if c.Listener == nil {
		wrong("Listener must be set")
	}
	for id, addr := range c.Peers {
		if err := c.validPeer(id, addr); err != nil {
			all = append(all, err)
		}
	}
	if c.HandshakeTimeout < 0 || c.DeadAfter < time.Millisecond {
		wrong("HandshakeTimeout %v and DeadAfter %v must be positive", c.HandshakeTimeout, c.DeadAfter)
	}
	if c.RetryMin < 0 || c.RetryMax < c.RetryMin {
		wrong("RetryMin %v must be from 0 to RetryMax %v", c.RetryMin, c.RetryMax)
	}
	if c.MaxQueued < fabric.MaxMessage {
		wrong("MaxQueued %d must not be below %d", c.MaxQueued, fabric.MaxMessage)
	}
	return errors.Join(all...)
}

func (c Config) validPeer(id ids.NodeID, addr string) error {
	switch {
	case id == 0:
		return errors.New("fabric/tcp: peer 0 is no node")
	case id == c.Self:
		return fmt.Errorf("fabric/tcp: peer %d is this node itself", id)
	case id > c.Self && addr == "":
		return fmt.Errorf("fabric/tcp: peer %d has no address, and this node %d must dial it", id, c.Self)
	}
	return nil
}
