package fusefs

import (
	"bytes"
	"context"
	"hash/fnv"
	"slices"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/namespace"
	"dfs/objects"
)

// KeyHistory is what a Store offers in addition if it can tell which keys have a past, so that @history lists the
// names of what was deleted too.
type KeyHistory interface {
	// HistoryKeys calls fn for the keys in [from, to) that were ever changed or deleted, in order, until fn
	// returns false.
	HistoryKeys(sub ids.Subgroup, from, to []byte, fn func(key []byte) bool)
}

// virtualIno is the st_ino of the directories that exist only as names.
func virtualIno(key nodeKey) uint64 {
	h := fnv.New64a()
	h.Write([]byte{byte(key.sort)})
	h.Write([]byte(key.name))
	return mix(mix(uint64(key.ino))^h.Sum64()) | pastBit
}

// virtualAttr fills the attributes of @history and what is below: who may read the directory may read it.
func (f *filesystem) virtualAttr(ctx context.Context, n *node, out *fuse.Attr) error {
	r, err := f.now(ctx, ids.Namespace)
	if err != nil {
		return err
	}
	dir, err := namespace.Stat(r, n.ino)
	if err != nil {
		return gone(n, err)
	}
	*out = fuse.Attr{
		Ino: virtualIno(n.nodeKey), Mode: dir.Mode &^ 0o222, Nlink: 2, Owner: fuse.Owner{Uid: dir.UID, Gid: dir.GID},
		Size: directorySize, Blocks: directorySize / 512, Blksize: blockSize,
	}
	out.Atime, out.Atimensec = split(dir.Atime)
	out.Mtime, out.Mtimensec = split(dir.Mtime)
	out.Ctime, out.Ctimensec = split(dir.Ctime)
	return nil
}

// lookupTrail finds @history/NAME.
func (f *filesystem) lookupTrail(ctx context.Context, dir *node, name string, out *fuse.EntryOut) error {
	known := false
	f.store.History(ids.Namespace, namespace.DirentKey(dir.ino, name), func(hlc.Timestamp, []byte, bool) bool {
		known = true
		return false
	})
	if !known {
		return errs.NotFound
	}
	return f.pastEntry(ctx, nodeKey{sort: sortTrail, ino: dir.ino, name: name}, out)
}

// lookupVersion finds @history/NAME/TIME: NAME as it was at that time, whether or not it is a listed one.
func (f *filesystem) lookupVersion(ctx context.Context, trail *node, name string, out *fuse.EntryOut) error {
	at, err := parseVersionName(name)
	if err != nil {
		return err
	}
	r, err := f.at(ctx, at)
	if err != nil {
		f.limited.warn("a name of the past leads nowhere", "name", name, "directory", trail.ino, "reason", err)
		return err
	}
	ino, _, err := namespace.Lookup(r, trail.ino, trail.name)
	if err != nil {
		return err
	}
	return f.pastEntry(ctx, versionKey(trail, ino, at), out)
}

func versionKey(trail *node, ino ids.Ino, at hlc.Timestamp) nodeKey {
	return nodeKey{sort: sortPast, ino: ino, at: at, door: trail.ino, name: historyName + "/" + trail.name}
}

// listHistory lists the names in @history: those that the directory has, and those that it had.
func (f *filesystem) listHistory(ctx context.Context, n *node) (lister, error) {
	r, err := f.now(ctx, ids.Namespace)
	if err != nil {
		return nil, err
	}
	if _, err := namespace.Stat(r, n.ino); err != nil {
		return nil, err
	}
	line := func(name string) dirEntry {
		return dirEntry{name: name, key: nodeKey{sort: sortTrail, ino: n.ino, name: name}, mode: namespace.Directory.Mode()}
	}
	past, ok := f.store.(KeyHistory)
	if !ok {
		return func(after string, fn func(e dirEntry) bool) {
			namespace.List(r, n.ino, after, func(name string, _ ids.Ino, _ namespace.Type) bool { return fn(line(name)) })
		}, nil
	}
	return func(after string, fn func(e dirEntry) bool) {
		// A page of each kind, merged: both are in the order of their names.
		var names []string
		namespace.List(r, n.ino, after, func(name string, _ ids.Ino, _ namespace.Type) bool {
			names = append(names, name)
			return len(names) < batchSize
		})
		live := len(names)
		prefix := namespace.DirentKey(n.ino, "")
		from, to := append(namespace.DirentKey(n.ino, after), 0), namespace.DirentKey(n.ino+1, "")
		if after == "" {
			from = prefix
		}
		past.HistoryKeys(ids.Namespace, from, to, func(key []byte) bool {
			names = append(names, string(key[len(prefix):]))
			return len(names) < live+batchSize
		})
		slices.Sort(names)
		names = slices.Compact(names)
		for _, name := range names[:min(batchSize, len(names))] {
			if !fn(line(name)) {
				return
			}
		}
	}, nil
}

// listTrail lists the versions of a name.
func (f *filesystem) listTrail(ctx context.Context, n *node) (lister, error) {
	versions := f.versions(n.ino, n.name)
	if len(versions) == 0 {
		return nil, errs.NotFound
	}
	// Asking for the newest first makes the rest cheap: nothing has to be waited for or noted any more.
	if _, err := f.pastOf(ctx, ids.Namespace, versions[len(versions)-1].at); err != nil {
		return nil, err
	}
	return func(after string, fn func(e dirEntry) bool) {
		for _, v := range versions {
			name := formatVersion(v.at)
			if name > after && !fn(dirEntry{name: name, key: versionKey(n, v.ino, v.at), mode: v.typ.Mode()}) {
				return
			}
		}
	}, nil
}

// version is a state of a name worth listing.
type version struct {
	at  hlc.Timestamp
	ino ids.Ino
	typ namespace.Type
}

// tenure is a time during which a name meant one inode: from since on, before until.
type tenure struct {
	ino          ids.Ino
	typ          namespace.Type
	since, until hlc.Timestamp
}

// versions returns the versions of a name in a directory, oldest first, through all inodes that it meant.
func (f *filesystem) versions(dir ids.Ino, name string) []version {
	var all []version
	for _, t := range f.tenures(dir, name) {
		var found []hlc.Timestamp // newest first
		switch t.typ {
		case namespace.Regular:
			found = f.fileVersions(t)
		case namespace.Directory:
			found = f.dirVersions(t)
		}
		if len(found) == 0 {
			found = []hlc.Timestamp{t.since}
		}
		for _, at := range found {
			all = append(all, version{at: at, ino: t.ino, typ: t.typ})
		}
	}
	slices.Reverse(all)
	return all
}

// tenures returns what a name meant, newest first.
func (f *filesystem) tenures(dir ids.Ino, name string) []tenure {
	var all []tenure
	until := hlc.Latest
	f.store.History(ids.Namespace, namespace.DirentKey(dir, name), func(since hlc.Timestamp, value []byte, deleted bool) bool {
		if !deleted {
			if ino, typ, err := namespace.DecodeDirent(value); err == nil {
				all = append(all, tenure{ino: ino, typ: typ, since: since, until: until})
			}
		}
		until = since
		return true
	})
	return all
}

// fileVersions returns the moments at which runs of writes to a file ended, newest first (U8). The history of its
// attributes has a record for each write, truncation or setting of times, and one that repeats the one before
// where a run ended.
func (f *filesystem) fileVersions(t tenure) []hlc.Timestamp {
	var run runs
	f.store.History(f.store.DataShard(t.ino), objects.AttrKey(t.ino), func(since hlc.Timestamp, value []byte, deleted bool) bool {
		switch {
		case since >= t.until || deleted && since >= t.since:
			return true
		case since >= t.since:
			run.older(since, value)
			return true
		case !deleted: // what the file was before it got this name is the first version
			run.older(since, value)
			run.newer.value = nil
			run.end()
			run.found = append(run.found, t.since)
		}
		return false
	})
	run.take()
	run.end()
	return run.found
}

// runs finds the runs of writes among the records of a file, which it is given newest first.
type runs struct {
	found   []hlc.Timestamp
	at      hlc.Timestamp // the newest record of the run in hand
	written bool          // one of its records changed the contents
	newer   struct {      // the record before, not taken yet: it may repeat the next one
		since hlc.Timestamp
		value []byte
	}
}

// older gives the next record.
func (r *runs) older(since hlc.Timestamp, value []byte) {
	if r.newer.value != nil && bytes.Equal(r.newer.value, value) {
		r.end() // it was a mark
	} else {
		r.take()
	}
	r.newer.since, r.newer.value = since, append(r.newer.value[:0], value...)
}

// take makes the record before part of the run in hand.
func (r *runs) take() {
	if r.newer.value == nil {
		return
	}
	r.at = max(r.at, r.newer.since)
	if a, err := objects.DecodeAttr(r.newer.value); err == nil && a.Set&objects.MtimeSet != 0 && a.Mtime == int64(r.newer.since) {
		r.written = true
	}
	r.newer.value = nil
}

// end ends the run in hand: what comes is older.
func (r *runs) end() {
	if r.written {
		r.found = append(r.found, r.at)
	}
	r.at, r.written = 0, false
}

// dirPause separates versions of a directory: changes in quicker succession count as one.
const dirPause = time.Second

// dirVersions returns the moments at which entries of a directory had changed and then did not for a while.
func (f *filesystem) dirVersions(t tenure) []hlc.Timestamp {
	var found []hlc.Timestamp
	newer := hlc.Latest
	f.store.History(ids.Namespace, namespace.InodeKey(t.ino), func(since hlc.Timestamp, value []byte, deleted bool) bool {
		if since >= t.until || deleted {
			return true
		}
		since = max(since, t.since)
		if inode, err := namespace.DecodeInode(value); since == t.since || err == nil && inode.Mtime == int64(since) {
			if newer-since >= hlc.Timestamp(dirPause) {
				found = append(found, since)
			}
			newer = since
		}
		return since > t.since
	})
	return found
}
