package devcluster

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"dfs/advice"
	"dfs/errs"
	"dfs/ids"
	"dfs/node"

	"golang.org/x/sys/unix"
)

// MaxNodes is the largest cluster that is made on one machine.
const MaxNodes = 16

// Node is one node of the cluster.
type Node struct {
	N      int
	Dir    string // DIR/nodeN
	Config node.Config
}

// ConfigPath is where the configuration stands, LogPath what the process says.
func (n *Node) ConfigPath() string { return filepath.Join(n.Dir, "node.toml") }

// LogPath is the file with the process's output.
func (n *Node) LogPath() string { return filepath.Join(n.Dir, "log") }

// Cluster is a directory with nodes in it, opened by one command (DC4).
type Cluster struct {
	Dir   string
	Nodes []*Node
	lock  *os.File
}

// Options are what Create can be told about the nodes.
type Options struct {
	Nodes       int
	Shards      int    // 0: the node's default
	Replicas    int    // 0: the node's default
	Consistency string // "": the node's default
}

// Open opens the cluster in dir; errs.NotFound when there is none.
func Open(dir string) (*Cluster, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "%s", dir)
	}
	c := &Cluster{Dir: dir}
	for n := 1; n <= MaxNodes; n++ {
		node, err := c.read(n)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, err
		}
		c.Nodes = append(c.Nodes, node)
	}
	if len(c.Nodes) == 0 {
		return nil, advice.Add(errs.New(errs.NotFound, "there is no cluster in %s", dir), "dfs dev start %s", advice.Quote(dir))
	}
	return c, c.takeLock()
}

func (c *Cluster) read(n int) (*Node, error) {
	m := &Node{N: n, Dir: filepath.Join(c.Dir, "node"+strconv.Itoa(n))}
	if _, err := os.Stat(m.ConfigPath()); err != nil {
		return nil, err
	}
	var err error
	m.Config, err = node.ReadConfig(m.ConfigPath())
	return m, err
}

// Create makes the directories and configurations of a new cluster in dir, which must be empty or not exist.
func Create(dir string, o Options) (*Cluster, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "%s", dir)
	}
	if o.Nodes < 1 || o.Nodes > MaxNodes {
		return nil, advice.Add(errs.New(errs.Invalid, "%d nodes are not between 1 and %d", o.Nodes, MaxNodes), "dfs dev start %s --nodes 3", advice.Quote(dir))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, errs.Wrap(errs.IO, err, "make the cluster's directory")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, errs.Wrap(errs.IO, err, "read the cluster's directory")
	}
	if len(entries) > 0 {
		err := errs.New(errs.NotEmpty, "%s is not empty and has no cluster in it", dir)
		return nil, advice.Add(err, "choose a new directory: dfs dev start %s", advice.Quote(dir+"/dfs"))
	}
	c := &Cluster{Dir: dir}
	if err := c.takeLock(); err != nil {
		return nil, err
	}
	if err := c.make(o); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// make writes what Open reads.
func (c *Cluster) make(o Options) error {
	name := make([]byte, 4)
	rand.Read(name)
	for n := 1; n <= o.Nodes; n++ {
		dir := filepath.Join(c.Dir, "node"+strconv.Itoa(n))
		c.Nodes = append(c.Nodes, &Node{N: n, Dir: dir, Config: node.Config{
			Cluster: "dev-" + hex.EncodeToString(name), ID: ids.NodeID(n), Data: filepath.Join(dir, "data"),
			Mount: filepath.Join(c.Dir, "mnt"+strconv.Itoa(n)), Shards: o.Shards, Replicas: o.Replicas,
			Consistency: o.Consistency,
		}})
	}
	return c.assignPorts()
}

// assignPorts gives the cluster a loopback address and every node a port there, and writes all configurations. No node may
// be running.
func (c *Cluster) assignPorts() error {
	host := ownLoopback()
	ports, err := freePorts(host, len(c.Nodes))
	if err != nil {
		return err
	}
	addresses := map[string]string{}
	for i, n := range c.Nodes {
		addresses[strconv.Itoa(n.N)] = net.JoinHostPort(host.String(), strconv.Itoa(ports[i]))
	}
	for _, n := range c.Nodes {
		n.Config.Listen, n.Config.Peers = addresses[strconv.Itoa(n.N)], addresses
		text, err := n.Config.Encode()
		if err != nil {
			return err
		}
		if err := os.MkdirAll(n.Dir, 0o700); err != nil {
			return errs.Wrap(errs.IO, err, "make the node's directory")
		}
		text = append(fmt.Appendf(nil, "# Node %d of a cluster made by: dfs dev start %s\n", n.N, c.Dir), text...)
		if err := os.WriteFile(n.ConfigPath(), text, 0o600); err != nil {
			return errs.Wrap(errs.IO, err, "write the node's configuration")
		}
	}
	return nil
}

// portsFree reports whether every node could listen where its configuration says.
func (c *Cluster) portsFree() bool {
	for _, n := range c.Nodes {
		l, err := net.Listen("tcp", n.Config.Listen)
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}

// ownLoopback returns an address of this machine that hardly anybody else listens on: all of 127.0.0.0/8 is. So a node that
// is stopped, while the others know it by its port, does not lose that to another cluster or to an outgoing connection.
func ownLoopback() net.IP {
	return net.IPv4(127, byte(1+mathrand.IntN(254)), byte(mathrand.IntN(256)), byte(1+mathrand.IntN(254)))
}

// freePorts finds ports that nobody listens on, below those that the kernel hands out for outgoing connections: a program
// that listens on all addresses would be in the way.
func freePorts(host net.IP, n int) ([]int, error) {
	const low, high, tries = 17000, 32000, 1000
	var ports []int
	for range tries {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: host, Port: low + mathrand.IntN(high-low)})
		if err != nil {
			continue
		}
		defer l.Close() // kept until all are found, so that none is found twice
		if ports = append(ports, l.Addr().(*net.TCPAddr).Port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, errs.New(errs.Unavailable, "no %d free ports on %v between %d and %d", n, host, low, high)
}

// takeLock keeps other commands away (DC4).
func (c *Cluster) takeLock() error {
	f, err := os.Open(c.Dir)
	if err != nil {
		return errs.Wrap(errs.IO, err, "open the cluster's directory")
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return advice.Add(errs.New(errs.Busy, "another dfs dev command is at work on %s", c.Dir), "wait for it, then try again")
	}
	c.lock = f
	return nil
}

// Close lets other commands in. The nodes go on.
func (c *Cluster) Close() error { return c.lock.Close() }

// Select returns the nodes that the argument names: a number, or "all".
func (c *Cluster) Select(which string) ([]*Node, error) {
	if which == "all" {
		return c.Nodes, nil
	}
	n, err := strconv.Atoi(which)
	if err != nil || n < 1 || n > len(c.Nodes) {
		err := errs.New(errs.Invalid, "%q is none of the nodes 1 to %d", which, len(c.Nodes))
		return nil, advice.Add(err, "dfs dev status %s", advice.Quote(c.Dir))
	}
	return c.Nodes[n-1 : n], nil
}
