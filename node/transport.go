package node

import (
	"dfs/control"
	"dfs/errs"
	"dfs/fabric/tcp"
	"dfs/fabric/verbs"
	"dfs/ids"
)

// The values of Config.Fabric.
const (
	FabricAuto  = string(verbs.Auto)
	FabricVerbs = string(verbs.Required)
	FabricTCP   = string(verbs.Off)
)

// transport builds the links: over RDMA where the configuration and both ends allow it, else over TCP. Encrypted
// links stay on TCP unless the configuration says otherwise in so many words, for adapters do not encrypt.
func (n *instance) transport(cfg tcp.Config) (network, error) {
	c := verbs.Config{TCP: cfg, Mode: verbs.Mode(n.cfg.Fabric), Device: n.cfg.Device}
	if c.Mode == verbs.Auto && cfg.Identify != nil {
		c.Mode, c.Why = verbs.Off, `links are encrypted and RDMA is not (fabric = "verbs" allows it)`
	}
	f, err := verbs.New(c)
	if err != nil && c.Mode == verbs.Required {
		return nil, adviseFabric(errs.Wrap(errs.NotSupported, err, `fabric = "verbs"`))
	}
	if err != nil {
		return nil, err
	}
	device, why := f.Available()
	n.log.Info("links", "fabric", n.cfg.Fabric, "adapter", device, "reason", why)
	return f, nil
}

// linked is a fabric that tells of its links.
type linked interface{ Links() []verbs.Link }

// addLinks fills in how the other nodes are reached.
func addLinks(st *control.Status, f network) {
	l, ok := f.(linked)
	if !ok {
		return
	}
	links := map[ids.NodeID]verbs.Link{}
	for _, link := range l.Links() {
		links[link.Peer] = link
	}
	for i := range st.Nodes {
		link := links[st.Nodes[i].Node]
		st.Nodes[i].Transport, st.Nodes[i].Why = link.Transport, link.Reason
	}
}
