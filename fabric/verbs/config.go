package verbs

import (
	"errors"
	"fmt"
	"time"

	"dfs/fabric"
	"dfs/fabric/tcp"
	"dfs/ids"
)

// Mode says when links use RDMA.
type Mode string

// The modes.
const (
	Auto     Mode = "auto"  // where both ends can
	Required Mode = "verbs" // or not at all
	Off      Mode = "tcp"   // never
)

// Config is what a fabric needs to know. TCP must be filled in as for tcp.New; its Events are the owner's.
type Config struct {
	TCP  tcp.Config
	Mode Mode
	// Why is what Links says of a link where Mode is Off; a default names the configuration.
	Why string
	// Device is the name of the adapter to use, "" for the first that fits, above all one that has the
	// address that TCP.Listener listens on.
	Device string

	// MaxQueued is how many bytes of words, messages and short writes may wait for one peer before its link is
	// given up. Default 256 MiB.
	MaxQueued int
	// RevokeTimeout is how long Deregister waits for a peer before it ends the link. Default 2 s.
	RevokeTimeout time.Duration
	// ProveTimeout bounds the proof that a new queue pair reaches its peer. Default 3 s.
	ProveTimeout time.Duration
	// Spin is how long a reader looks for more before it sleeps, at most. Default 100 us.
	Spin time.Duration

	sizes sizes                          // tests make them small
	find  func(c Config) (device, error) // tests bring their own
}

const (
	minReceives = 16
	minChunk    = 256
	// sparedCredits and sparedSlots are kept for credits, so that two ends that wait for them get them.
	sparedCredits = 8
	sparedSlots   = 8
	// pieceMax is the most that one write carries.
	pieceMax = 128 << 10
	// looks is how often a reader that has nothing else to do looks for completions in one call. It holds the lock of the
	// link meanwhile, which those who write want.
	looks = 4
	// window is how many bytes may be on their way.
	window = 1 << 20
	// copyMax is the longest write that is copied when it is queued.
	copyMax = 512
	// flaky is how many links in a row may fail early before TCP is taken.
	flaky = 3
	// earlyLife is how long a link must live to be no early failure.
	earlyLife = 10 * time.Second
)

func (c Config) withDefaults() Config {
	if c.Mode == "" {
		c.Mode = Auto
	}
	if c.MaxQueued == 0 {
		c.MaxQueued = 256 << 20
	}
	if c.RevokeTimeout == 0 {
		c.RevokeTimeout = 2 * time.Second
	}
	if c.ProveTimeout == 0 {
		c.ProveTimeout = 3 * time.Second
	}
	if c.Spin == 0 {
		c.Spin = 100 * time.Microsecond
	}
	if c.sizes == (sizes{}) {
		c.sizes = sizes{sends: 256, receives: 256, chunk: 4096, stage: window}
	}
	if c.find == nil {
		c.find = findDevice
	}
	c.TCP.Events = c.TCP.Events.WithDefaults()
	return c
}

func (c Config) validate() error {
	var all []error
	if c.Mode != Auto && c.Mode != Required && c.Mode != Off {
		all = append(all, fmt.Errorf("fabric/verbs: Mode %q is none of %q, %q, %q", c.Mode, Auto, Required, Off))
	}
	if c.MaxQueued < fabric.MaxMessage {
		all = append(all, fmt.Errorf("fabric/verbs: MaxQueued %d must not be below %d", c.MaxQueued, fabric.MaxMessage))
	}
	if s := c.sizes; s.sends < 4*sparedSlots || s.receives < minReceives || s.receives > maxCredits || s.chunk < minChunk || s.stage < 8*s.chunk {
		all = append(all, fmt.Errorf("fabric/verbs: sizes %+v are too small", s))
	}
	return errors.Join(all...)
}

// Link is how one peer is reached.
type Link struct {
	Peer      ids.NodeID
	Up        bool
	Transport string // "tcp" or "verbs DEVICE"; "" if not connected
	Reason    string // why not verbs, or why not connected
}
