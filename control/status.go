package control

import (
	"time"

	"dfs/hlc"
	"dfs/ids"
)

// Phase is where a node is in its life.
type Phase string

// The phases, in order.
const (
	Starting Phase = "starting" // replays its log
	Waiting  Phase = "waiting"  // for members of its view, see Status.Reason
	Serving  Phase = "serving"
	Stopping Phase = "stopping"
	Failed   Phase = "failed" // see Status.Reason; the process is about to end
)

// Status is all that a node tells about itself. Fields are only ever added.
type Status struct {
	Node        ids.NodeID `json:"node"`
	Cluster     string     `json:"cluster"`
	Phase       Phase      `json:"phase"`
	Reason      string     `json:"reason,omitempty"`
	PID         int        `json:"pid"`
	Program     string     `json:"program"` // version of the program
	Incarnation uint32     `json:"incarnation"`
	Started     time.Time  `json:"started"`
	Now         time.Time  `json:"now"`
	Mount       string     `json:"mount,omitempty"`
	Data        string     `json:"data"`
	Listen      string     `json:"listen,omitempty"`
	Links       string     `json:"links,omitempty"`       // LinksTLS or LinksPlain; empty for a node alone
	Certificate *time.Time `json:"certificate,omitempty"` // until when this node's holds; nil where there is none
	Consistency string     `json:"consistency"`

	View      ids.ViewID `json:"view"`
	Members   []Member   `json:"members"`
	Nodes     []Node     `json:"nodes"` // the configuration of the cluster: who may be in a view
	Subgroups []Subgroup `json:"subgroups"`
	Groups    []Group    `json:"groups"`
	Log       Log        `json:"log"`
	Memory    Memory     `json:"memory"`
}

// How nodes talk to each other.
const (
	LinksTLS   = "tls"
	LinksPlain = "plain"
)

// Node is a configured node of the cluster.
type Node struct {
	Node      ids.NodeID `json:"node"`
	Address   string     `json:"address,omitempty"`
	InView    bool       `json:"in_view"`
	Connected bool       `json:"connected"`           // the node itself counts as connected
	Expected  bool       `json:"expected,omitempty"`  // it was let in, and has not come into the configuration yet
	Transport string     `json:"transport,omitempty"` // "tcp" or "verbs ADAPTER", while connected
	Why       string     `json:"why,omitempty"`       // why not verbs, or why not connected
}

// Member is one node of the view.
type Member struct {
	Node      ids.NodeID `json:"node"`
	Address   string     `json:"address,omitempty"`
	Connected bool       `json:"connected"` // the node itself counts as connected
}

// Subgroup is one replicated state machine, the namespace or a data shard, as this node knows it.
type Subgroup struct {
	Subgroup  ids.Subgroup  `json:"subgroup"`
	Name      string        `json:"name"` // "namespace" or "data 1" and so on
	Group     ids.Group     `json:"group"`
	Replicas  []ids.NodeID  `json:"replicas"`          // members of the view that have its data
	Gaining   []ids.NodeID  `json:"gaining,omitempty"` // members to which its data is moving
	Delivered string        `json:"delivered"`         // version of the last message delivered here, VIEW.NUMBER
	Persisted string        `json:"persisted"`         // up to here every replica has it on its disk
	Frontier  hlc.Timestamp `json:"frontier"`          // moments up to here can be read without waiting, in nanoseconds
}

// Group is the order of messages that subgroups with the same replicas share.
type Group struct {
	Group   ids.Group `json:"group"`
	Pending int       `json:"pending"` // operations of this node under way
	Rings   []Ring    `json:"rings"`
}

// Ring is how full one sender's ring is.
type Ring struct {
	Sender ids.NodeID `json:"sender"`
	Used   int64      `json:"used"`
	Size   int64      `json:"size"`
}

// Log is the state of the node's log on disk.
type Log struct {
	Bytes    int64  `json:"bytes"`
	Segments int    `json:"segments"`
	End      uint64 `json:"end"`     // position behind the last record
	Durable  uint64 `json:"durable"` // everything before is on the disk
	Storage  string `json:"storage"` // "dax", or "file" and why not dax
	Free     int64  `json:"free"`    // bytes free in the filesystem of the data directory
}

// Memory is what the process uses, in bytes.
type Memory struct {
	Heap     int64 `json:"heap"`
	Resident int64 `json:"resident"`
	Limit    int64 `json:"limit"` // soft limit of the Go runtime
}
