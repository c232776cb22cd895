package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"time"

	"dfs/advice"
	"dfs/errs"
	"dfs/identity"
	"dfs/ids"
	"dfs/index"
	"dfs/namespace"
)

// Times of letting a node in.
const (
	joinRead   = 5 * time.Second  // for the request to arrive
	joinChange = 20 * time.Second // for the cluster to agree on it
	maxJoins   = 8                // at one moment; others are told to come again
)

// changeConfig changes the configuration of the cluster: it calls change with the nodes as they are, perhaps more
// than once, and returns when all that belong to it know the result. errs.Unavailable without a majority.
type changeConfig func(ctx context.Context, change func([]identity.Peer) []identity.Peer) error

// inOrder has an operation on the claims of tokens (package namespace) applied in the one order of the cluster, and waits
// until the outcome is durable at all members. errs.Unavailable without a majority.
type inOrder func(ctx context.Context, op namespace.Op) (errs.Kind, []byte, error)

// admission makes tokens, and lets in who shows one, whichever node has made it.
type admission struct {
	creds    *identity.Credentials
	roster   *roster
	listen   string
	shards   int
	replicas int
	insecure bool
	clock    func() time.Time
	log      *slog.Logger
	change   changeConfig
	apply    inOrder
	claims   func() index.Reader   // where this node sees who has which token
	runs     func(ids.NodeID) bool // this node, or one to which there is a connection
	busy     chan struct{}         // a slot for each join under way
}

// newToken makes a token; replace is the number to take over, 0 for a new one.
func (a *admission) newToken(lifetime time.Duration, replace ids.NodeID) (string, error) {
	t, err := a.creds.Authority.NewToken(a.creds.Name.Cluster, a.addresses(replace), lifetime, replace, a.clock())
	if errs.KindOf(err) == errs.NotPermitted {
		err = advice.Add(err, "ask a node that has %s in its data directory", filepath.Join(keysName, authorityKeyName))
	}
	if err != nil {
		return "", err
	}
	return t.Encode(), nil
}

// addresses returns where a joiner may ask: here first, then at those that run, then at the others.
func (a *admission) addresses(without ids.NodeID) []string {
	run, rest := []string{a.listen}, []string(nil)
	for _, p := range a.roster.all() {
		const most = 255 // see identity.Token
		switch {
		case p.Node == a.creds.Name.Node || p.Node == without || len(p.Addr) > most:
		case a.runs(p.Node):
			run = append(run, p.Addr)
		default:
			rest = append(rest, p.Addr)
		}
	}
	return append(run, rest...)
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

// admit lets a node in: it has the token (ID3), the node that it replaces goes, and it gets its certificate. From then
// on it is expected, see usher.
func (a *admission) admit(ctx context.Context, req identity.Request) (identity.Answer, error) {
	token, key, err := req.Check()
	if err == nil {
		err = a.creds.Authority.CheckToken(token, a.creds.Name.Cluster, a.clock())
	}
	if err == nil {
		err = checkDialable(req.Address)
	}
	if err != nil {
		return identity.Answer{}, err
	}
	claim, err := a.claim(ctx, token, sha256.Sum256(key), req.Address)
	if err != nil {
		return identity.Answer{}, err
	}
	if claim.State == namespace.Claimed {
		// The old node goes before the new one comes: what it had promised is gone with its disk, so the others
		// must agree without it first.
		if err := a.takeOut(ctx, claim.Node); err != nil && !errors.Is(err, errs.NotFound) {
			return identity.Answer{}, err
		}
		if _, _, err := a.apply(ctx, namespace.RaiseClaim{Token: token.ID, State: namespace.Expected}); err != nil {
			return identity.Answer{}, err
		}
	}
	now := a.clock()
	name := identity.Name{Cluster: a.creds.Name.Cluster, Node: claim.Node, Issue: now.Unix()}
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
	nodes := slices.DeleteFunc(a.roster.all(), func(p identity.Peer) bool { return p.Node == claim.Node })
	nodes = append(nodes, identity.Peer{Node: claim.Node, Addr: claim.Address})
	a.log.Info("let a node in", "new", claim.Node, "address", claim.Address, "replaces", token.Replace != 0)
	return identity.Answer{
		Format: identity.Format, Cluster: name.Cluster, Node: name.Node, Certificate: cert.Raw, Authority: a.creds.Authority.Cert.Raw,
		AuthorityKey: authorityKey, Nodes: nodes, Shards: a.shards, Replicas: a.replicas, Insecure: a.insecure,
	}, nil
}

// claim uses a token for the holder of a key, or finds that this was done before.
func (a *admission) claim(ctx context.Context, token identity.Token, key namespace.KeyHash, address string) (r namespace.ClaimRecord, err error) {
	if err := a.placeFor(token, key, address); err != nil {
		return r, err
	}
	op := namespace.Claim{Token: token.ID, Key: key, Address: address, Expires: token.Expires.UnixNano(), Replace: token.Replace}
	for _, p := range a.roster.all() {
		op.Highest = max(op.Highest, p.Node)
	}
	kind, body, err := a.apply(ctx, op)
	switch {
	case err != nil:
		return r, err
	case kind == errs.AccessDenied:
		return r, identity.ErrExpired(token.Expires)
	case kind != errs.OK:
		return r, errs.New(kind, "no number is left for a node: the highest is %d", op.Highest)
	}
	result, err := namespace.DecodeClaimResult(body)
	if r = result.ClaimRecord; err != nil {
		return r, err
	}
	switch {
	case r.Key != key:
		at := time.Unix(0, r.At).UTC().Format(time.RFC3339)
		return r, errs.New(errs.AccessDenied, "the token was used at %s, by node %d at %s", at, r.Node, r.Address)
	case r.State < namespace.Closed:
	case r.Address != address:
		return r, errs.New(errs.AccessDenied, "with that token node %d joined, listening on %s", r.Node, r.Address)
	case !slices.Contains(a.roster.all(), identity.Peer{Node: r.Node, Addr: r.Address}):
		return r, errs.New(errs.AccessDenied, "node %d, which joined with that token, has left the cluster", r.Node)
	}
	return r, nil
}

// placeFor looks, before a token is used, whether there is a place for its node.
func (a *admission) placeFor(token identity.Token, key namespace.KeyHash, address string) error {
	mine := ids.NodeID(0) // the number that this token has given to the key before
	namespace.Claims(a.claims(), func(t namespace.TokenID, r namespace.ClaimRecord) bool {
		if t == token.ID && r.Key == key {
			mine = r.Node
		}
		return true
	})
	nodes := a.roster.all()
	for _, p := range nodes {
		if p.Addr == address && p.Node != token.Replace && p.Node != mine {
			return errs.New(errs.Exists, "node %d of the cluster listens on %s", p.Node, p.Addr)
		}
	}
	switch {
	case mine != 0:
	case token.Replace == 0 && len(nodes)+len(a.expected()) >= MaxNodes:
		return errs.New(errs.TooLarge, "the cluster has %d nodes, more are not supported", len(nodes))
	case token.Replace != 0 && a.runs(token.Replace):
		return errs.New(errs.Exists, "node %d, which the token replaces, is running", token.Replace)
	}
	return nil
}

// expected returns the nodes that have a certificate and are to come into the configuration once they run.
func (a *admission) expected() (all []identity.Peer) {
	for _, c := range a.openClaims() {
		if c.State == namespace.Expected && !a.belongs(c.Node) {
			all = append(all, identity.Peer{Node: c.Node, Addr: c.Address})
		}
	}
	return all
}

// openClaim is a claim of a node that has not come, as far as is known here.
type openClaim struct {
	token namespace.TokenID
	namespace.ClaimRecord
}

// openClaims returns the claims that are not closed.
func (a *admission) openClaims() (all []openClaim) {
	namespace.Claims(a.claims(), func(t namespace.TokenID, r namespace.ClaimRecord) bool {
		if r.State < namespace.Closed {
			all = append(all, openClaim{t, r})
		}
		return true
	})
	return all
}

// belongs reports whether a node is in the configuration.
func (a *admission) belongs(node ids.NodeID) bool {
	return slices.ContainsFunc(a.roster.all(), func(p identity.Peer) bool { return p.Node == node })
}

// usher brings an expected node into the configuration when it has caught up.
func (a *admission) usher(ctx context.Context, me identity.Peer) error {
	ctx, cancel := context.WithTimeout(ctx, joinChange)
	defer cancel()
	err := a.change(ctx, func(now []identity.Peer) []identity.Peer {
		if slices.ContainsFunc(now, func(p identity.Peer) bool { return p.Node == me.Node }) {
			return now
		}
		return append(slices.Clone(now), me)
	})
	if err == nil {
		a.log.Info("a node that was let in has come", "new", me.Node, "address", me.Addr)
		err = a.tidy(ctx)
	}
	return err
}

// tidy closes the claims of nodes that have come: whoever brought one in may have died before it did.
func (a *admission) tidy(ctx context.Context) error {
	return a.closeClaims(ctx, func(c openClaim) bool { return c.State == namespace.Expected && a.belongs(c.Node) })
}

func (a *admission) closeClaims(ctx context.Context, which func(openClaim) bool) error {
	for _, c := range a.openClaims() {
		if which(c) {
			if _, _, err := a.apply(ctx, namespace.RaiseClaim{Token: c.token, State: namespace.Closed}); err != nil {
				return err
			}
		}
	}
	return nil
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
