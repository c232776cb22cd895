package node

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"dfs/advice"
	"dfs/errs"
	"dfs/ids"
	"dfs/mountpoint"
)

// Limits and defaults of the configuration.
const (
	MaxNodes      = 64   // members of a cluster: rows of the shared table
	MaxShards     = 1024 // data shards
	MaxReplicas   = 16   // nodes that keep the data of a shard
	DefaultShards = 128

	DefaultSkew   = 500 * time.Millisecond
	DefaultMemory = Size(384 << 20)
	minMemory     = Size(128 << 20)
)

// The values of Config.Consistency.
const (
	Causal = "causal" // write returns when the operation is under way; order is kept
	Strict = "strict" // write returns when every member has it
)

// Config is one node's configuration, as a file holds it in TOML. The zero value of a field means its default;
// Data and, in a cluster, ID, Listen and Peers have none.
type Config struct {
	Cluster     string            `toml:"cluster"`                  // name of the cluster, the same on all nodes
	ID          ids.NodeID        `toml:"id"`                       // this node's number in it, from 1
	Listen      string            `toml:"listen,omitempty"`         // HOST:PORT for the other nodes; empty for a node alone
	Peers       map[string]string `toml:"peers,omitempty"`          // the other nodes: id = "HOST:PORT"
	Data        string            `toml:"data"`                     // directory of the log and the index
	Mount       string            `toml:"mount,omitempty"`          // where the filesystem is mounted; empty for a replica without a mount
	Shards      int               `toml:"shards,omitempty"`         // data shards, DefaultShards for a new data directory; fixed once it is made
	Replicas    int               `toml:"replicas,omitempty"`       // nodes that keep the data of a shard, as with Shards; every node if there are not more
	Consistency string            `toml:"consistency,omitempty"`    // Causal or Strict
	AllowOther  *bool             `toml:"allow_other,omitempty"`    // other users may use the mount; default: when root mounts
	Soft        Duration          `toml:"soft,omitempty"`           // calls fail with EIO when there is no majority for so long; 0: they wait
	Suid        bool              `toml:"suid,omitempty"`           // set-user-id bits count when a program of the mount is run; only root may say so
	Dev         bool              `toml:"dev,omitempty"`            // device nodes in the mount are devices; only root may say so
	MaxSkew     Duration          `toml:"max_clock_skew,omitempty"` // how far apart the clocks of two nodes may be
	Memory      Size              `toml:"memory,omitempty"`         // soft limit of the process's memory
	LogLevel    string            `toml:"log_level,omitempty"`      // debug, info, warn or error
	Insecure    bool              `toml:"insecure,omitempty"`       // links to other machines are not encrypted
	Fabric      string            `toml:"fabric,omitempty"`         // FabricAuto, FabricVerbs or FabricTCP
	Device      string            `toml:"rdma_device,omitempty"`    // name of the RDMA adapter; empty: the one that fits best
}

// withDefaults returns the configuration with every field set that has a default, and paths made absolute.
func (c Config) withDefaults() Config {
	c.Cluster = cmp.Or(c.Cluster, "dfs")
	if c.ID == 0 && len(c.Peers) == 0 {
		c.ID = 1
	}
	c.Consistency = cmp.Or(c.Consistency, Causal)
	c.Fabric = cmp.Or(c.Fabric, FabricAuto)
	c.MaxSkew = cmp.Or(c.MaxSkew, Duration(DefaultSkew))
	c.Memory = cmp.Or(c.Memory, DefaultMemory)
	c.LogLevel = cmp.Or(c.LogLevel, "info")
	if c.AllowOther == nil {
		root := os.Geteuid() == 0
		c.AllowOther = &root
	}
	for _, path := range []*string{&c.Data, &c.Mount} {
		if *path != "" {
			if abs, err := filepath.Abs(*path); err == nil {
				*path = abs
			}
		}
	}
	return c
}

// Members returns the ids of all nodes of the cluster, ascending. The configuration must be valid.
func (c Config) Members() []ids.NodeID {
	members := []ids.NodeID{c.ID}
	for name := range maps.Keys(c.Peers) {
		if id, err := ParseID(name); err == nil && id != c.ID {
			members = append(members, id)
		}
	}
	slices.Sort(members)
	return members
}

// addresses returns where the other nodes listen.
func (c Config) addresses() map[ids.NodeID]string {
	all := map[ids.NodeID]string{}
	for name, address := range c.Peers {
		if id, err := ParseID(name); err == nil && id != c.ID {
			all[id] = address
		}
	}
	return all
}

// level returns the log level; the configuration must be valid.
func (c Config) level() slog.Level {
	var l slog.Level
	l.UnmarshalText([]byte(c.LogLevel))
	return l
}

// Mistakes is the error of Validate: everything that is wrong, each with the name of its field.
type Mistakes []string

func (m Mistakes) Error() string {
	if len(m) == 1 {
		return "configuration: " + m[0]
	}
	return fmt.Sprintf("configuration has %d mistakes:\n  %s", len(m), strings.Join(m, "\n  "))
}

// Unwrap gives mistakes their kind.
func (m Mistakes) Unwrap() error { return errs.Invalid }

// Validate checks the configuration, after defaults were set, without looking at the machine (ND1).
func (c Config) Validate() error {
	var found Mistakes
	wrong := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if !validName(c.Cluster) {
		wrong("cluster: %q is not a name of 1 to 64 letters, digits, dots and dashes", c.Cluster)
	}
	if c.Data == "" {
		wrong("data: a data directory is needed")
	}
	if c.Data != "" && c.Mount != "" {
		if err := mountpoint.CheckApart(c.Mount, c.Data); err != nil {
			wrong("mount: %v", err)
		}
	}
	if c.Shards < 0 || c.Shards > MaxShards {
		wrong("shards: %d is not between 1 and %d", c.Shards, MaxShards)
	}
	if c.Replicas < 0 || c.Replicas > MaxReplicas {
		wrong("replicas: %d is not between 1 and %d", c.Replicas, MaxReplicas)
	}
	if c.Consistency != Causal && c.Consistency != Strict {
		wrong("consistency: %q is neither %q nor %q", c.Consistency, Causal, Strict)
	}
	if c.Fabric != FabricAuto && c.Fabric != FabricVerbs && c.Fabric != FabricTCP {
		wrong("fabric: %q is none of %q, %q, %q", c.Fabric, FabricAuto, FabricVerbs, FabricTCP)
	}
	if c.Soft < 0 || c.Soft > 0 && c.Soft < Duration(time.Second) {
		wrong("soft: %v is not 0 (wait for ever) or at least 1s", time.Duration(c.Soft))
	}
	if c.MaxSkew < Duration(time.Millisecond) || c.MaxSkew > Duration(time.Minute) {
		wrong("max_clock_skew: %v is not between 1ms and 1m", time.Duration(c.MaxSkew))
	}
	if c.Memory < minMemory {
		wrong("memory: %v is less than %v", c.Memory, minMemory)
	}
	if (c.Suid || c.Dev) && os.Geteuid() != 0 {
		wrong("suid, dev: only root may honour set-user-id bits and device nodes")
	}
	var l slog.Level
	if l.UnmarshalText([]byte(c.LogLevel)) != nil {
		wrong("log_level: %q is none of debug, info, warn, error", c.LogLevel)
	}
	found = append(found, c.clusterMistakes()...)
	if len(found) > 0 {
		return found
	}
	return nil
}

// clusterMistakes checks what the nodes say of each other.
func (c Config) clusterMistakes() (found Mistakes) {
	wrong := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if c.ID == 0 {
		wrong("id: a node of a cluster needs its number, from 1")
	}
	others := 0
	taken := map[string]string{}
	if c.Listen != "" {
		taken[c.Listen] = "listen"
	}
	for _, name := range slices.Sorted(maps.Keys(c.Peers)) {
		id, err := ParseID(name)
		if err != nil {
			wrong("peers: %q is not the number of a node, from 1", name)
			continue
		}
		address := c.Peers[name]
		if id == c.ID {
			continue // a list of all nodes may be the same on each
		}
		others++
		if err := checkAddress(address, false); err != nil {
			wrong("peers: node %d: %v", id, err)
		}
		if who := taken[address]; who != "" {
			wrong("peers: node %d has the same address as %s, %s", id, who, address)
		}
		taken[address] = "node " + name
	}
	if others+1 > MaxNodes {
		wrong("peers: %d nodes are more than %d", others+1, MaxNodes)
	}
	if others > 0 && c.Listen == "" {
		wrong("listen: a node with peers needs an address to listen on")
	}
	if c.Listen != "" {
		if err := checkAddress(c.Listen, true); err != nil {
			wrong("listen: %v", err)
		}
	}
	return found
}

// checkAddress wants HOST:PORT; to listen, HOST may be empty for all addresses of the machine.
func checkAddress(address string, listen bool) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || (host == "" && !listen) {
		return errs.New(errs.Invalid, "%q is not HOST:PORT, for example 10.0.0.1:7940", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return errs.New(errs.Invalid, "%q in %q is not a port between 1 and 65535", port, address)
	}
	return nil
}

// ParseID reads the number of a node.
func ParseID(name string) (ids.NodeID, error) {
	n, err := strconv.ParseUint(name, 10, 32)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != name {
		return 0, errs.New(errs.Invalid, "%q is not the number of a node", name)
	}
	return ids.NodeID(n), nil
}

// validName keeps names of clusters to what can stand anywhere unquoted.
func validName(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
	return s != "" && len(s) <= 64 && strings.Trim(s, allowed) == ""
}

// adviseConfig points from a mistake to the manual.
func adviseConfig(err error) error {
	return advice.Add(err, "dfs node --help   (shows a complete configuration)")
}

// adviseFabric says what RDMA needs.
func adviseFabric(err error) error {
	return advice.Add(err, "apt-get install libibverbs1 ibverbs-providers, look for adapters with ibv_devices, or use fabric = \"auto\"")
}
