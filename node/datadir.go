package node

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"dfs/advice"
	"dfs/control"
	"dfs/errs"
	"dfs/identity"
	"dfs/ids"
	"dfs/shards"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/sys/unix"
)

// Format is the version of everything in a data directory (identity, view state, log, index) and of what nodes say to
// each other. It goes up with any change that an older program would not understand, or that does not understand what an
// older one wrote.
const Format = 2

// Names in the data directory.
const (
	identityName    = "identity"
	incarnationName = "incarnation"
	leftName        = "left"     // says when the node left its cluster
	segmentsName    = "segments" // the log
	indexName       = "index"
)

// whose says whose data it is. It is written once, when the directory is made.
type whose struct {
	Format   int          `toml:"format"`
	Cluster  string       `toml:"cluster"`
	Node     ids.NodeID   `toml:"node"`
	Members  []ids.NodeID `toml:"members"`
	Shards   int          `toml:"shards"`
	Replicas int          `toml:"replicas"`
	Created  time.Time    `toml:"created"`

	// The rest is there where the cluster has an authority (package identity): nodes come and go then, and Members
	// is who belonged to it when the directory was made.
	Authority string            `toml:"authority,omitempty"` // its fingerprint
	Addresses map[string]string `toml:"addresses,omitempty"` // where those nodes listen
	Insecure  bool              `toml:"insecure,omitempty"`  // links are not encrypted
}

// nodes returns the configuration of the cluster when the directory was made.
func (id whose) nodes() []identity.Peer {
	var nodes []identity.Peer
	for _, n := range id.Members {
		nodes = append(nodes, identity.Peer{Node: n, Addr: id.Addresses[strconv.Itoa(int(n))]})
	}
	return nodes
}

// IsDataDir reports whether a node keeps its data in dir.
func IsDataDir(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, identityName))
	return err == nil
}

// DataDir is a node's data directory, locked for this process and checked to be its own (ND2).
type DataDir struct {
	Path        string
	Created     time.Time
	whose       whose
	Shards      int
	Replicas    int
	Incarnation uint32 // of this start (ND3)
	lock        *control.Lock
}

// Segments is where the log lives, Index where the index does.
func (d *DataDir) Segments() string { return filepath.Join(d.Path, segmentsName) }

// Index is where the index lives.
func (d *DataDir) Index() string { return filepath.Join(d.Path, indexName) }

// Close gives up the lock.
func (d *DataDir) Close() error { return d.lock.Release() }

// OpenDataDir makes or opens the data directory of the configuration, which must be valid.
func OpenDataDir(c Config) (*DataDir, error) {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, adviseDisk(errs.Wrap(errs.IO, err, "make the data directory"), c.Data)
	}
	lock, err := control.TakeLock(c.Data)
	if err != nil {
		return nil, adviseDisk(err, c.Data)
	}
	d := &DataDir{Path: c.Data, lock: lock}
	if err := d.open(c); err != nil {
		lock.Release()
		return nil, adviseDisk(err, c.Data)
	}
	return d, nil
}

func (d *DataDir) open(c Config) error {
	id, err := readIdentity(d.Path)
	if errors.Is(err, errs.NotFound) {
		if id, err = d.create(c); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if err := id.check(c); err != nil {
		return err
	}
	if when, err := os.ReadFile(filepath.Join(d.Path, leftName)); err == nil {
		err := errs.New(errs.NotPermitted, "data directory %s belongs to node %d, which left cluster %q at %s", d.Path, id.Node, id.Cluster, strings.TrimSpace(string(when)))
		return advice.Add(err, "to come back, join as a new node with a new directory: dfs join TOKEN")
	}
	d.Created, d.Shards, d.Replicas, d.whose = id.Created, id.Shards, id.Replicas, id
	for _, dir := range []string{d.Segments(), d.Index()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return errs.Wrap(errs.IO, err, "make %s", dir)
		}
	}
	d.Incarnation, err = nextIncarnation(d.Path, time.Now())
	return err
}

// create writes the identity into an empty directory. What a crash in the middle of it leaves counts as empty.
func (d *DataDir) create(c Config) (whose, error) {
	if err := checkEmpty(d.Path); err != nil {
		return whose{}, err
	}
	id := whose{
		Format: Format, Cluster: c.Cluster, Node: c.ID, Members: c.Members(), Shards: cmp.Or(c.Shards, DefaultShards),
		Replicas: cmp.Or(c.Replicas, shards.DefaultReplicas), Created: time.Now().UTC(),
	}
	return id, writeIdentity(d.Path, id)
}

// checkEmpty wants a directory without anything in it but what this program may have left there, and room.
func checkEmpty(dir string, allowed ...string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return errs.Wrap(errs.IO, err, "read the data directory")
	}
	for _, e := range entries {
		name := e.Name()
		if name != control.LockName && !strings.HasSuffix(name, ".tmp") && !slices.Contains(allowed, name) {
			err := errs.New(errs.NotEmpty, "%s is not empty and not a data directory of dfs (it has %s)", dir, name)
			return advice.Add(err, "choose a new or empty directory with --data")
		}
	}
	return checkRoom(dir, reserve)
}

// writeIdentity makes the directory one of dfs.
func writeIdentity(dir string, id whose) error {
	text, err := toml.Marshal(id)
	if err != nil {
		return errs.Wrap(errs.Invalid, err, "encode identity")
	}
	text = append([]byte("# Whose data this is. Written once; do not edit.\n"), text...)
	return replaceFile(filepath.Join(dir, identityName), text)
}

// readIdentity reads whose data it is; errs.NotFound when nobody's yet.
func readIdentity(dir string) (whose, error) {
	path := filepath.Join(dir, identityName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return whose{}, errs.New(errs.NotFound, "%s is not a data directory of dfs", dir)
	}
	if err != nil {
		return whose{}, errs.Wrap(errs.IO, err, "read the identity of the data directory")
	}
	var id whose
	if err := toml.NewDecoder(bytes.NewReader(text)).Decode(&id); err != nil || id.Format < 1 {
		err := errs.New(errs.Corrupt, "%s is damaged", path)
		return whose{}, advice.Add(err, "restore that file from a backup; the log beside it is not touched")
	}
	if id.Format != Format {
		err := errs.New(errs.NotSupported, "data directory %s has format %d, another version of dfs wrote it: this one knows format %d", dir, id.Format, Format)
		return whose{}, advice.Add(err, "use the dfs program that wrote it; see: dfs version")
	}
	return id, nil
}

// check compares the identity with what the configuration says (ND2).
func (id whose) check(c Config) error {
	switch {
	case id.Cluster != c.Cluster:
		err := errs.New(errs.Invalid, "data directory %s belongs to cluster %q, the configuration says %q", c.Data, id.Cluster, c.Cluster)
		return advice.Add(err, "choose another data directory, or the configuration of that cluster")
	case id.Node != c.ID:
		err := errs.New(errs.Invalid, "data directory %s belongs to node %d of cluster %q, the configuration says node %d", c.Data, id.Node, id.Cluster, c.ID)
		return advice.Add(err, "choose another data directory, or the configuration of that node")
	case id.Insecure && !c.Insecure:
		err := errs.New(errs.Invalid, "the links of cluster %q are not encrypted, as was chosen when it was made", id.Cluster)
		return advice.Add(err, "insecure = true   (or --insecure), if nobody else is on that network")
	case id.Authority != "" && c.Insecure && !id.Insecure:
		err := errs.New(errs.Invalid, "the links of cluster %q are encrypted: one node cannot choose otherwise", id.Cluster)
		return advice.Add(err, "leave out insecure; a cluster without encryption is made with: dfs init --insecure")
	case id.Authority != "" && len(c.Peers) > 0:
		err := errs.New(errs.Invalid, "the nodes of cluster %q are not named in the configuration: they come with dfs join", id.Cluster)
		return advice.Add(err, "leave out peers; who belongs to the cluster: dfs status")
	case id.Authority == "" && !slices.Equal(id.Members, c.Members()):
		err := errs.New(errs.Invalid, "data directory %s belongs to a cluster of the nodes %v, the configuration names %v", c.Data, id.Members, c.Members())
		return advice.Add(err, "name the same nodes as when the cluster was made")
	case c.Shards != 0 && id.Shards != c.Shards:
		err := errs.New(errs.Invalid, "data directory %s was made with %d shards, the configuration says %d", c.Data, id.Shards, c.Shards)
		return advice.Add(err, "shards = %d", id.Shards)
	case c.Replicas != 0 && id.Replicas != c.Replicas:
		err := errs.New(errs.Invalid, "data directory %s was made with %d replicas, the configuration says %d", c.Data, id.Replicas, c.Replicas)
		return advice.Add(err, "replicas = %d", id.Replicas)
	}
	return nil
}

// nextIncarnation chooses the number of this start and makes it durable, before the node says a word to anybody
// (ND3). It is at least the time in seconds, so that a node whose data directory was lost, and which gets
// everything back from the others, is not taken for one of its former lives.
func nextIncarnation(dir string, now time.Time) (uint32, error) {
	path := filepath.Join(dir, incarnationName)
	var last uint64
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return 0, errs.Wrap(errs.IO, err, "read the incarnation")
	default:
		if last, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32); err != nil || last == math.MaxUint32 {
			err := errs.New(errs.Corrupt, "%s is damaged", path)
			return 0, advice.Add(err, "if the clock of this machine is right, remove that file")
		}
	}
	next := uint32(max(last+1, uint64(min(max(now.Unix(), 0), math.MaxUint32/2))))
	return next, replaceFile(path, []byte(strconv.FormatUint(uint64(next), 10)+"\n"))
}

// replaceFile writes a whole file so that after a crash it has either the old or the new content.
func replaceFile(path string, text []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return errs.Wrap(errs.IO, err, "write %s", path)
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return errs.Wrap(errs.IO, err, "write %s", path)
	}
	return nil
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// adviseDisk adds what to do about a disk that is full, read-only or not ours, unless a hint is there.
func adviseDisk(err error, dir string) error {
	if err == nil || advice.Of(err) != "" {
		return err
	}
	quoted := advice.Quote(dir)
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, errs.NoSpace):
		return advice.Add(errs.Wrap(errs.NoSpace, err, "the disk of %s is full", dir), "make room, then start again; what uses it: df -h %s", quoted)
	case errors.Is(err, unix.EROFS):
		return advice.Add(err, "choose a data directory on a writable disk with --data")
	case errors.Is(err, fs.ErrPermission):
		return advice.Add(err, "run as the owner of the directory, or choose another: ls -ld %s", quoted)
	}
	return err
}
