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
	"dfs/mountpoint"
	"dfs/shards"
)

// ConfigName is the configuration file that Init and Join write into the data directory.
const ConfigName = "node.toml"

// joinPatience bounds one try to join through one address.
const joinPatience = joinChange + 10*time.Second

// joinDial is how long one address may take to be reached.
const joinDial = 5 * time.Second

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
	return n, adviseDisk(n.finish(cmp.Or(c.Shards, DefaultShards), cmp.Or(c.Replicas, shards.DefaultReplicas)), c.Data)
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
	c.ID, c.Insecure = answer.Node, answer.Insecure
	if err := errors.Join(saveAuthority(c.Data, authority), saveCertificate(c.Data, answer.Certificate)); err != nil {
		return nil, adviseDisk(err, c.Data)
	}
	n := &New{Config: c, Authority: token.Authority, Nodes: answer.Nodes}
	return n, adviseDisk(n.finish(answer.Shards, answer.Replicas), c.Data)
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
func (n *New) finish(dataShards, replicas int) error {
	c := n.Config
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

// ask shows the token at its addresses, until a node there lets this one in or says that no node would.
func ask(ctx context.Context, token identity.Token, key ed25519.PrivateKey, listen string) (identity.Answer, error) {
	req, err := identity.NewRequest(token, key, listen)
	if err != nil {
		return identity.Answer{}, err
	}
	if now := time.Now(); now.After(token.Expires) {
		return identity.Answer{}, adviseToken(identity.ErrExpired(token.Expires))
	}
	var all []error
	for _, address := range token.Addresses {
		answer, err := askAt(ctx, token, address, req)
		failed := err == nil && answer.Failure != nil
		if err == nil && (!failed || answer.Failure.Kind != errs.Unavailable && answer.Failure.Kind != errs.Busy) {
			return answer, nil
		}
		if failed { // that one cannot now; another may
			err = answer.Err()
		}
		all = append(all, errs.Wrap(errs.KindOf(err), err, "ask %s", address))
		if ctx.Err() != nil {
			break
		}
	}
	err = errors.Join(all...)
	if errs.KindOf(err) == errs.AccessDenied {
		return identity.Answer{}, adviseToken(err)
	}
	return identity.Answer{}, advice.Add(err, "does any node of the cluster run at these addresses, and can this machine reach it?   then try again with the same token")
}

func askAt(ctx context.Context, token identity.Token, address string, req identity.Request) (identity.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, joinPatience)
	defer cancel()
	d := net.Dialer{Timeout: joinDial}
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
