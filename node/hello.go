package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
)

// hello is what nodes tell each other when they connect, before anything else: who cannot work together must
// find out here.
type hello struct {
	Format   int          `json:"format"`
	Cluster  string       `json:"cluster"`
	Members  []ids.NodeID `json:"members,omitempty"` // of a cluster without an authority: those of the configuration files
	Shards   int          `json:"shards"`
	Replicas int          `json:"replicas"`

	Authority string        `json:"authority,omitempty"` // fingerprint of the cluster's authority
	Clock     hlc.Timestamp `json:"clock"`
}

// encode returns the bytes for the handshake.
func (h hello) encode() []byte {
	b, err := json.Marshal(h)
	if err != nil {
		panic(fmt.Sprintf("node: a hello is always encodable: %v", err))
	}
	return b
}

func decodeHello(b []byte) (hello, error) {
	var h hello
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&h); err != nil || dec.More() {
		return hello{}, errs.New(errs.Corrupt, "greeting is not understood")
	}
	return h, nil
}

// check says why a node with the hello theirs cannot work with the one with ours, of which this is called. The
// text is read at both ends.
func (ours hello) check(peer ids.NodeID, theirs hello, skew time.Duration) error {
	switch {
	case theirs.Format != ours.Format:
		return errs.New(errs.NotSupported, "node %d has data format %d, the others have %d", peer, theirs.Format, ours.Format)
	case theirs.Cluster != ours.Cluster:
		return errs.New(errs.Invalid, "node %d belongs to cluster %q, not to %q", peer, theirs.Cluster, ours.Cluster)
	case theirs.Authority != ours.Authority:
		return errs.New(errs.Invalid, "node %d belongs to another cluster of the name %q", peer, theirs.Cluster)
	case !slices.Equal(theirs.Members, ours.Members):
		return errs.New(errs.Invalid, "node %d is configured with the nodes %v, the others with %v", peer, theirs.Members, ours.Members)
	case theirs.Shards != ours.Shards:
		return errs.New(errs.Invalid, "node %d has %d data shards, the others have %d", peer, theirs.Shards, ours.Shards)
	case theirs.Replicas != ours.Replicas:
		return errs.New(errs.Invalid, "node %d has %d replicas of data, the others have %d", peer, theirs.Replicas, ours.Replicas)
	}
	var off *hlc.SkewError
	if err := hlc.Check(theirs.Clock, ours.Clock, skew); errors.As(err, &off) {
		d := time.Duration(off.Theirs - off.Ours)
		return errs.New(errs.Invalid, "the clock of node %d is %s, allowed are %v: set the clocks (chronyc tracking)", peer, aheadText(d), skew)
	}
	return nil
}

// dialled returns the hello of a dialler, the lower id, as the one who was dialled must take it: it may have waited
// here, at a port that is open before the node is ready, so that its clock looks behind by as much. Whether it is,
// the dialler sees from the answer.
func (h hello) dialled(ours hello) hello {
	h.Clock = max(h.Clock, ours.Clock)
	return h
}

// aheadText says which way and how far a clock is off.
func aheadText(d time.Duration) string {
	if d < 0 {
		return fmt.Sprintf("%v behind", (-d).Round(time.Millisecond))
	}
	return fmt.Sprintf("%v ahead", d.Round(time.Millisecond))
}
