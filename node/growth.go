package node

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"time"

	"dfs/advice"
	"dfs/control"
	"dfs/errs"
	"dfs/fusefs"
	"dfs/identity"
	"dfs/ids"
)

// DefaultLifetime is how long a token can be used.
const DefaultLifetime = time.Hour

// makeToken answers control.CommandToken.
func (n *instance) makeToken(req control.Request) (control.Response, error) {
	if n.admission == nil {
		return control.Response{}, errFixed(n.cfg.Cluster)
	}
	if req.Node != 0 {
		if err := n.checkGone(req.Node, "stop it, or wait until it is gone"); err != nil {
			return control.Response{}, err
		}
	}
	lifetime := time.Duration(req.Lifetime) * time.Second
	if req.Lifetime < 0 || req.Lifetime > int64(365*24*time.Hour/time.Second) {
		lifetime = 0 // refused where the limits are
	}
	token, err := n.admission.newToken(lifetime, req.Node)
	if err == nil {
		n.log.Info("made a token", "expires", n.clock().Add(lifetime).UTC().Format(time.RFC3339), "replaces", req.Node)
	}
	return control.Response{Token: token}, err
}

// errFixed says that nodes cannot come and go.
func errFixed(cluster string) error {
	err := errs.New(errs.NotSupported, "cluster %q has no authority: its nodes are named in their configuration files", cluster)
	return advice.Add(err, "a cluster that others can join is made with: dfs init --help")
}

// checkGone wants a node that belongs to the cluster, and to which there is no connection.
func (n *instance) checkGone(node ids.NodeID, hint string) error {
	if node != n.cfg.ID && !n.admission.belongs(node) && !n.admission.expects(node) {
		return advice.Add(errs.New(errs.NotFound, "the cluster has no node %d", node), "dfs status --data %s", advice.Quote(n.cfg.Data))
	}
	if node == n.cfg.ID || n.links.connected(node) {
		return advice.Add(errs.New(errs.Busy, "node %d is running", node), "%s", hint)
	}
	return nil
}

// removeOther answers control.CommandRemove.
func (n *instance) removeOther(ctx context.Context, req control.Request) error {
	if n.creds == nil {
		return errFixed(n.cfg.Cluster)
	}
	if !req.Force {
		err := n.checkGone(req.Node, "on that machine: dfs node leave   (or here: --force, if it must not be trusted any more)")
		if err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, joinChange)
	defer cancel()
	if err := n.admission.remove(ctx, req.Node); err != nil {
		return err
	}
	n.log.Info("removed a node", "removed", req.Node)
	return nil
}

// move answers control.CommandMove: a node has another address.
func (n *instance) move(ctx context.Context, to identity.Peer) error {
	if n.creds == nil {
		return errFixed(n.cfg.Cluster)
	}
	if err := checkDialable(to.Addr); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, joinChange)
	defer cancel()
	if err := moveNode(ctx, n.changeConfig, to); err != nil {
		return err
	}
	n.log.Info("a node has another address", "moved", to.Node, "address", to.Addr)
	return nil
}

// farewell is a request to leave; the answer goes to done.
type farewell struct {
	ctx  context.Context
	done chan error
}

// askToLeave answers control.CommandLeave: the goroutine that serves does it.
func (n *instance) askToLeave(ctx context.Context) error {
	if n.creds == nil {
		return errFixed(n.cfg.Cluster)
	}
	if len(n.roster.all()) < 2 {
		err := errs.New(errs.NotPermitted, "node %d is the last one: without it there is no cluster", n.cfg.ID)
		return advice.Add(err, "stop it instead; its data directory is all there is")
	}
	f := farewell{ctx, make(chan error, 1)}
	select {
	case n.farewells <- f:
	case <-ctx.Done():
		return errs.New(errs.Unavailable, "the node does not serve yet: %s", n.waitingFor())
	}
	select {
	case err := <-f.done:
		return err
	case <-ctx.Done():
		return errs.New(errs.Unavailable, "the node has not left yet; dfs status shows how it is")
	}
}

// leave takes the mount away, waits until the others have on their disks what this node did, and has this node taken
// out of the configuration. Where the others can do that without it, it stops the engine before: they go on at once
// without a node that says goodbye, but wait for the end of the lease of one that is taken out while it runs. Up to
// the stop a failure leaves the node as it was, with its mount; stopped tells of one after it.
func (n *instance) leave(ctx context.Context, server **fusefs.Server) (stopped bool, err error) {
	if *server != nil {
		if err := (*server).Unmount(false); err != nil {
			if errors.Is(err, errs.Busy) {
				err = advice.Add(err, "see who uses it: fuser -vm %s", advice.Quote(n.cfg.Mount))
			}
			return false, err
		}
		*server = nil
	}
	early := n.dispensable()
	err = n.engine.Sync(ctx)
	if err == nil {
		err = n.mayLeave(ctx)
	}
	if err == nil && !early {
		err = n.askToBeRemoved(ctx)
	}
	if err != nil {
		again, mounting := n.mount()
		*server = again
		return false, errors.Join(err, mounting)
	}
	n.quit()
	if early {
		err = n.askToBeRemoved(ctx)
	}
	if err != nil {
		err = errs.Wrap(errs.KindOf(err), err, "this node has stopped, but still belongs to the cluster")
		return true, advice.Add(err, "start it and try again, or on another node: dfs node remove %d", n.cfg.ID)
	}
	when := n.clock().UTC().Format(time.RFC3339)
	n.log.Info("this node has left the cluster")
	return true, replaceFile(filepath.Join(n.data.Path, leftName), []byte(when+"\n"))
}

// dispensable reports whether the others that run are a majority without this node.
func (n *instance) dispensable() bool {
	others := n.roster.others()
	there := 0
	for id := range others {
		if n.links.connected(id) {
			there++
		}
	}
	return there > (len(others)+1)/2
}

// mayLeave fails if the others could not go on, or do not answer.
func (n *instance) mayLeave(ctx context.Context) error {
	rest := slices.DeleteFunc(n.roster.all(), func(p identity.Peer) bool { return p.Node == n.cfg.ID })
	if err := n.admission.enough(rest); err != nil {
		return err
	}
	return n.askOthers(ctx, identity.Wish{Format: identity.Format, Belong: true})
}

// hangUp stops the engine, gives its last words time to get out, and closes all links.
func (n *instance) hangUp(stopEngine func(), ended <-chan error) {
	stopEngine()
	<-ended
	<-time.After(lastWords)
	n.peersMu.Lock()
	defer n.peersMu.Unlock()
	for id := range n.peers {
		n.fab.RemovePeer(id)
	}
}
