package node

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"dfs/advice"
	"dfs/errs"
	"dfs/identity"
	"dfs/ids"
)

// tokensName is the file of the tokens that this node made.
const tokensName = "tokens"

// Times of letting a node in.
const (
	joinRead   = 5 * time.Second  // for the request to arrive
	joinChange = 20 * time.Second // for the cluster to agree on it
	maxJoins   = 8                // at one moment; others are told to come again
)

// changeConfig changes the configuration of the cluster: it calls change with the nodes as they are, perhaps more
// than once, and returns when all that belong to it know the result. errs.Unavailable without a majority.
type changeConfig func(ctx context.Context, change func([]identity.Peer) []identity.Peer) error

// admission makes tokens, and lets in who shows one.
type admission struct {
	creds    *identity.Credentials
	roster   *roster
	data     string
	listen   string
	shards   int
	replicas int
	insecure bool
	clock    func() time.Time
	log      *slog.Logger
	change   changeConfig
	meet     func(identity.Peer)   // connect to a node that is not in the configuration yet
	runs     func(ids.NodeID) bool // this node, or one to which there is a connection

	busy chan struct{} // a slot for each join under way
	one  sync.Mutex    // one join changes the configuration at a time

	mu     sync.Mutex
	ledger *identity.Ledger // guarded by mu
}

// load reads the tokens made before.
func (a *admission) load() error {
	a.busy = make(chan struct{}, maxJoins)
	path := filepath.Join(a.data, tokensName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		a.ledger = &identity.Ledger{}
		return nil
	}
	if err != nil {
		return errs.Wrap(errs.IO, err, "read the tokens")
	}
	if a.ledger, err = identity.DecodeLedger(text); err != nil {
		err = errs.Wrap(errs.Corrupt, err, "%s", path)
		return advice.Add(err, "remove that file; tokens that were not used yet are void then")
	}
	return nil
}

// saveLocked makes the ledger durable (ID3).
func (a *admission) saveLocked() error {
	text, err := a.ledger.Encode()
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(a.data, tokensName), text)
}

// newToken makes a token; replace is the number to take over, 0 for a new one.
func (a *admission) newToken(lifetime time.Duration, replace ids.NodeID) (string, error) {
	if a.creds.Authority.Key == nil {
		err := errs.New(errs.NotPermitted, "this node does not hold the key of the cluster")
		return "", advice.Add(err, "ask a node that has %s in its data directory", filepath.Join(keysName, authorityKeyName))
	}
	now := a.clock()
	t := identity.Token{
		Authority: a.creds.Authority.Fingerprint(), Secret: identity.NewSecret(), Expires: now.Add(lifetime),
		Replace: replace, Cluster: a.creds.Name.Cluster, Addresses: []string{a.listen},
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.ledger.Add(t.Secret, t.Expires, now, replace); err != nil {
		return "", err
	}
	return t.Encode(), a.saveLocked()
}

// serve answers one that wants to join.
func (a *admission) serve(ctx context.Context, nc net.Conn) {
	from := nc.RemoteAddr().String()
	answer, err := identity.Answer{}, error(nil)
	select {
	case a.busy <- struct{}{}:
		defer func() { <-a.busy }()
		answer, err = a.converse(ctx, nc)
	default:
		err = errs.New(errs.Busy, "%d nodes are joining at this moment: try again", maxJoins)
	}
	if err != nil {
		a.log.Warn("refused to let a node in", "from", from, "reason", err)
		answer = identity.Failed(adviseToken(err))
	}
	_ = nc.SetWriteDeadline(time.Now().Add(joinRead))
	if err := identity.WriteMessage(nc, answer); err != nil {
		a.log.Warn("a node that joined did not get its answer; it may ask again with the same token", "from", from, "reason", err)
	}
}

func (a *admission) converse(ctx context.Context, nc net.Conn) (identity.Answer, error) {
	_ = nc.SetReadDeadline(time.Now().Add(joinRead))
	req, err := identity.ReadRequest(nc)
	if err != nil {
		return identity.Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, joinChange)
	defer cancel()
	return a.admit(ctx, req)
}

// adviseToken says where a token comes from, unless a hint is there.
func adviseToken(err error) error {
	if errs.KindOf(err) == errs.AccessDenied && advice.Of(err) == "" {
		return advice.Add(err, "make a new token on a node of the cluster: dfs token create")
	}
	return err
}

// admit lets a node in: the use of the token is durable first (ID3), then the configuration is changed, then the
// node gets its certificate.
func (a *admission) admit(ctx context.Context, req identity.Request) (identity.Answer, error) {
	secret, key, err := req.Check()
	if err != nil {
		return identity.Answer{}, err
	}
	if err := checkDialable(req.Address); err != nil {
		return identity.Answer{}, err
	}
	a.one.Lock()
	defer a.one.Unlock()
	use, replace, err := a.redeem(secret, key, req.Address)
	if err != nil {
		return identity.Answer{}, err
	}
	nodes, err := a.enter(ctx, &use, replace)
	if err != nil {
		return identity.Answer{}, err
	}
	now := a.clock()
	name := identity.Name{Cluster: a.creds.Name.Cluster, Node: use.Node, Issue: now.Unix()}
	cert, err := a.creds.Authority.Issue(name, key, now)
	if err != nil {
		return identity.Answer{}, err
	}
	if err := a.roster.accept(name); err != nil {
		return identity.Answer{}, err
	}
	authorityKey, err := identity.EncodeAuthorityKey(a.creds.Authority)
	if err != nil {
		return identity.Answer{}, err
	}
	a.log.Info("let a node in", "new", use.Node, "address", use.Address, "replaces", replace != 0)
	return identity.Answer{
		Format: identity.Format, Cluster: name.Cluster, Node: name.Node, Certificate: cert.Raw, Authority: a.creds.Authority.Cert.Raw,
		AuthorityKey: authorityKey, Nodes: nodes, Highest: a.roster.highest(), Shards: a.shards, Replicas: a.replicas, Insecure: a.insecure,
	}, nil
}

// redeem notes the use of a token and which number it gives.
func (a *admission) redeem(s identity.Secret, key []byte, address string) (identity.Use, ids.NodeID, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t, err := a.ledger.Redeem(s, key, a.clock())
	if err != nil {
		return identity.Use{}, 0, err
	}
	use := t.Used
	if use.Done && use.Address != address {
		return identity.Use{}, 0, errs.New(errs.AccessDenied, "with that token node %d joined, listening on %s", use.Node, use.Address)
	}
	use.Address = address
	if use.Node == 0 {
		if use.Node = t.Replace; use.Node == 0 {
			use.Node = a.roster.highest() + 1
		}
	}
	if err := a.roster.raise(use.Node); err != nil {
		return identity.Use{}, 0, err
	}
	return *use, t.Replace, a.saveLocked()
}

// enter brings the node into the configuration, under another number if somebody else got the one noted.
func (a *admission) enter(ctx context.Context, use *identity.Use, replace ids.NodeID) (nodes []identity.Peer, err error) {
	if use.Done {
		nodes = a.roster.all()
		if !slices.Contains(nodes, identity.Peer{Node: use.Node, Addr: use.Address}) {
			return nil, errs.New(errs.AccessDenied, "node %d, which joined with that token, has left the cluster", use.Node)
		}
		return nodes, nil
	}
	if replace != 0 {
		// The old node goes before the new one comes: what it had promised is gone with its disk, so the others
		// must agree without it first.
		if err := a.remove(ctx, replace); err != nil && !errors.Is(err, errs.NotFound) {
			return nil, err
		}
	}
	me := identity.Peer{Node: use.Node, Addr: use.Address}
	var refused error
	alone := false
	err = a.change(ctx, func(now []identity.Peer) []identity.Peer {
		refused, me.Node, alone = nil, use.Node, len(now) == 1
		for _, p := range now {
			switch {
			case p == me:
				nodes = now // asked again after it got in
				return now
			case p.Addr == me.Addr:
				refused = errs.New(errs.Exists, "node %d of the cluster listens on %s", p.Node, p.Addr)
				return now
			case p.Node == me.Node && replace != 0:
				refused = errs.New(errs.Busy, "node %d is in the cluster again", p.Node)
				return now
			case p.Node >= me.Node && replace == 0:
				me.Node = p.Node + 1
			}
		}
		if len(now) >= MaxNodes {
			refused = errs.New(errs.TooLarge, "the cluster has %d nodes, more are not supported", len(now))
			return now
		}
		nodes = append(slices.Clone(now), me)
		if alone {
			return now // the majority of two is two: the other must run first, see usher
		}
		if refused = a.enough(nodes); refused != nil {
			return now
		}
		return nodes
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return nil, err
	}
	use.Node, use.Done, use.Waits = me.Node, !alone, alone
	if err := a.note(*use); err != nil {
		return nil, err
	}
	if alone {
		a.meet(me)
	}
	return nodes, nil
}

// expected returns the nodes that have a certificate and are to come into the configuration once they run.
func (a *admission) expected() (all []identity.Peer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.ledger.Tokens {
		if t.Used != nil && t.Used.Waits {
			all = append(all, identity.Peer{Node: t.Used.Node, Addr: t.Used.Address})
		}
	}
	return all
}

// usher brings an expected node, which runs now, into the configuration. It fails if that node has not caught up yet.
func (a *admission) usher(ctx context.Context, me identity.Peer) error {
	ctx, cancel := context.WithTimeout(ctx, joinChange)
	defer cancel()
	err := a.change(ctx, func(now []identity.Peer) []identity.Peer {
		if slices.ContainsFunc(now, func(p identity.Peer) bool { return p.Node == me.Node }) {
			return now
		}
		return append(slices.Clone(now), me)
	})
	if err != nil {
		return err
	}
	a.log.Info("a node that was let in has come", "new", me.Node, "address", me.Addr)
	return a.note(identity.Use{Node: me.Node, Address: me.Addr, Done: true})
}

// note stores where the node stands that was let in.
func (a *admission) note(use identity.Use) error {
	if err := a.roster.raise(use.Node); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.ledger.Tokens {
		if u := a.ledger.Tokens[i].Used; u != nil && u.Address == use.Address && (u.Key == use.Key || u.Waits && u.Node == use.Node) {
			u.Node, u.Done, u.Waits = use.Node, use.Done, use.Waits
		}
	}
	return a.saveLocked()
}

// checkDialable wants an address that other machines can dial.
func checkDialable(address string) error {
	if err := checkAddress(address, false); err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(address)
	if ip := net.ParseIP(host); ip != nil && (ip.IsUnspecified() || ip.IsMulticast()) {
		return errs.New(errs.Invalid, "%s is not an address that other nodes can dial", address)
	}
	return nil
}

// isLoopback reports whether only this machine can dial the address.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
