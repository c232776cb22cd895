package node

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"dfs/advice"
	"dfs/control"
	"dfs/errs"
	"dfs/identity"
	"dfs/ids"
	"dfs/mountpoint"
	"dfs/shards"
)

// ConfigName is the configuration file that Init and Join write into the data directory.
const ConfigName = "node.toml"

// joinPatience bounds one try to join through one address.
const joinPatience = joinChange + 10*time.Second

// New is a data directory that Init or Join has made.
type New struct {
	Config    Config
	Authority identity.Fingerprint
	Nodes     []identity.Peer
}

// Init makes the data directory of the first node of a new cluster, with an authority of its own.
func Init(c Config) (*New, error) {
	c.ID = 1
	c, lock, err := prepare(c)
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	key, err := loadNodeKey(c.Data)
	if err != nil {
		return nil, adviseDisk(err, c.Data)
	}
	now := time.Now()
	authority, err := identity.NewAuthority(c.Cluster, now)
	if err != nil {
		return nil, err
	}
	cert, err := authority.Issue(identity.Name{Cluster: c.Cluster, Node: c.ID, Issue: now.Unix()}, key.Public().(ed25519.PublicKey), now)
	if err != nil {
		return nil, err
	}
	n := &New{Config: c, Authority: authority.Fingerprint(), Nodes: []identity.Peer{{Node: c.ID, Addr: c.Listen}}}
	if err := saveAuthority(c.Data, authority); err != nil {
		return nil, adviseDisk(err, c.Data)
	}
	if err := saveCertificate(c.Data, cert.Raw); err != nil {
		return nil, adviseDisk(err, c.Data)
	}
	return n, adviseDisk(n.finish(cmp.Or(c.Shards, DefaultShards), cmp.Or(c.Replicas, shards.DefaultReplicas), c.ID), c.Data)
}

// Join makes the data directory of a node that comes into the cluster of the token. Interrupted, it can be called
// again with the same token and directory.
func Join(ctx context.Context, text string, c Config) (*New, error) {
	token, err := identity.ParseToken(text)
	if err != nil {
		return nil, advice.Add(err, "copy the whole line that dfs token create printed")
	}
	c.Cluster, c.ID = token.Cluster, 1 // the number comes with the answer
	c, lock, err := prepare(c)
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	key, err := loadNodeKey(c.Data)
	if err != nil {
		return nil, adviseDisk(err, c.Data)
	}
	answer, err := ask(ctx, token, key, c.Listen)
	if err != nil {
		return nil, err
	}
	if err := answer.Err(); err != nil {
		return nil, errs.Wrap(errs.KindOf(err), err, "cluster %q does not let this node in", token.Cluster)
	}
	authority, err := answer.Check(token.Authority, key)
	if err != nil {
		return nil, err
	}
	if answer.Highest > maxNumber {
		return nil, errs.New(errs.Corrupt, "the answer says that a node has the number %d", answer.Highest)
	}
	c.ID, c.Insecure = answer.Node, answer.Insecure
	if err := errors.Join(saveAuthority(c.Data, authority), saveCertificate(c.Data, answer.Certificate)); err != nil {
		return nil, adviseDisk(err, c.Data)
	}
	n := &New{Config: c, Authority: token.Authority, Nodes: answer.Nodes}
	return n, adviseDisk(n.finish(answer.Shards, answer.Replicas, answer.Highest), c.Data)
}

// prepare checks what can be checked, and locks the data directory, in which there is nothing but what an interrupted
// Init or Join left.
func prepare(c Config) (Config, *control.Lock, error) {
	c = c.withDefaults()
	if err := c.Validate(); err != nil {
		return c, nil, adviseConfig(err)
	}
	if err := checkDialable(c.Listen); err != nil {
		return c, nil, advice.Add(errs.Wrap(errs.Invalid, err, "listen"), "name an address of this machine: --listen 10.0.0.1:7940")
	}
	if c.Mount != "" {
		if err := mountpoint.Check(c.Mount); err != nil {
			return c, nil, err
		}
	}
	l, err := net.Listen("tcp", c.Listen) // the node will; find out now
	if err != nil {
		return c, nil, adviseListen(err, c.Listen)
	}
	defer l.Close()
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return c, nil, adviseDisk(errs.Wrap(errs.IO, err, "make the data directory"), c.Data)
	}
	lock, err := control.TakeLock(c.Data)
	if err != nil {
		return c, nil, adviseDisk(err, c.Data)
	}
	if id, err := readIdentity(c.Data); err == nil {
		lock.Release()
		err := errs.New(errs.Exists, "%s is the data directory of node %d of cluster %q already", c.Data, id.Node, id.Cluster)
		return c, nil, advice.Add(err, "start that node: dfs node --data %s   (or choose another directory)", advice.Quote(c.Data))
	}
	if err := checkEmpty(c.Data, keysName, ConfigName, rosterName); err != nil {
		lock.Release()
		return c, nil, adviseDisk(err, c.Data)
	}
	return c, lock, nil
}

// finish writes what makes the directory a node's, the identity last (ND7).
func (n *New) finish(dataShards, replicas int, highest ids.NodeID) error {
	c := n.Config
	r := roster{path: filepath.Join(c.Data, rosterName), past: past{Highest: highest}}
	if err := r.save(); err != nil {
		return err
	}
	text, err := forFile(c).Encode()
	if err != nil {
		return err
	}
	text = append([]byte("# Start this node with: dfs node --data "+advice.Quote(c.Data)+"\n"), text...)
	if err := replaceFile(filepath.Join(c.Data, ConfigName), text); err != nil {
		return err
	}
	id := whose{
		Format: Format, Cluster: c.Cluster, Node: c.ID, Shards: dataShards, Replicas: replicas, Created: time.Now().UTC(),
		Authority: n.Authority.String(), Addresses: map[string]string{}, Insecure: c.Insecure,
	}
	for _, p := range n.Nodes {
		id.Members = append(id.Members, p.Node)
		id.Addresses[strconv.Itoa(int(p.Node))] = p.Addr
	}
	return writeIdentity(c.Data, id)
}

// forFile leaves out what is the default anyway.
func forFile(c Config) Config {
	short := Config{Cluster: c.Cluster, ID: c.ID, Listen: c.Listen, Data: c.Data, Mount: c.Mount, Insecure: c.Insecure}
	if c.Consistency != Causal {
		short.Consistency = c.Consistency
	}
	return short
}

// ask shows the token at its addresses until one answers.
func ask(ctx context.Context, token identity.Token, key ed25519.PrivateKey, listen string) (identity.Answer, error) {
	req, err := identity.NewRequest(token.Secret, key, listen)
	if err != nil {
		return identity.Answer{}, err
	}
	if now := time.Now(); now.After(token.Expires) {
		err := errs.New(errs.AccessDenied, "the token expired at %s", token.Expires.Format(time.RFC3339))
		return identity.Answer{}, adviseToken(err)
	}
	var all []error
	for _, address := range token.Addresses {
		answer, err := askAt(ctx, token, address, req)
		if err == nil {
			return answer, nil
		}
		all = append(all, errs.Wrap(errs.KindOf(err), err, "ask %s", address))
	}
	err = errors.Join(all...)
	if errs.KindOf(err) == errs.AccessDenied {
		return identity.Answer{}, adviseToken(err)
	}
	return identity.Answer{}, advice.Add(err, "is the node that made the token running, and can this machine reach it?   then try again with the same token")
}

func askAt(ctx context.Context, token identity.Token, address string, req identity.Request) (identity.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, joinPatience)
	defer cancel()
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return identity.Answer{}, errs.Wrap(errs.Unavailable, err, "connect")
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	secured, err := identity.DialJoin(ctx, nc, token.Authority, time.Now)
	if err != nil {
		return identity.Answer{}, errs.Wrap(errs.KindOf(err), err, "secure the connection")
	}
	if err := identity.WriteMessage(secured, req); err != nil {
		return identity.Answer{}, err
	}
	return identity.ReadAnswer(secured)
}
