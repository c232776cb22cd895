package namespace

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"dfs/errs"
	"dfs/ids"
	"dfs/index"
)

// Stat returns an inode, which may be an orphan. It fails with errs.NotFound.
func Stat(r index.Reader, ino ids.Ino) (Inode, error) {
	v, ok := r.Get(InodeKey(ino))
	if !ok {
		return Inode{}, errs.NotFound
	}
	return mustInode(ino, v), nil
}

// Lookup returns what a name means in a directory; "." and ".." work too. It fails with
// errs.NotFound, errs.NotDirectory, errs.NameTooLong or errs.Invalid.
func Lookup(r index.Reader, parent ids.Ino, name string) (ids.Ino, Type, error) {
	if v, ok := r.Get(DirentKey(parent, name)); ok {
		ino, t := mustDirent(parent, name, v)
		return ino, t, nil
	}
	dir, err := Stat(r, parent)
	switch {
	case err != nil:
		return 0, 0, err
	case !dir.IsDir():
		return 0, 0, errs.NotDirectory
	case name == ".":
		return parent, Directory, nil
	case name == "..":
		return dir.Parent, Directory, nil
	}
	if kind := checkName(name); kind != errs.OK {
		return 0, 0, kind
	}
	return 0, 0, errs.NotFound
}

// Parent returns the directory that holds a directory; the root's is itself, that of a removed
// directory is the last one it had. It fails with errs.NotFound or errs.NotDirectory.
func Parent(r index.Reader, dir ids.Ino) (ids.Ino, error) {
	n, err := Stat(r, dir)
	switch {
	case err != nil:
		return 0, err
	case !n.IsDir():
		return 0, errs.NotDirectory
	}
	return n.Parent, nil
}

// List calls fn for the entries of a directory whose names are greater than after, in byte order,
// until fn returns false. "." and ".." are not among them. A directory that does not exist is empty.
func List(r index.Reader, dir ids.Ino, after string, fn func(name string, ino ids.Ino, t Type) bool) {
	from, to := inoRange(tableDirent, dir)
	if after != "" {
		from = append(append(from, after...), 0)
	}
	r.Scan(from, to, func(k, v []byte) bool {
		name := keyName(k)
		ino, t := mustDirent(dir, name, v)
		return fn(name, ino, t)
	})
}

// Readlink returns the target of a symbolic link. It fails with errs.NotFound or errs.Invalid.
func Readlink(r index.Reader, ino ids.Ino) (string, error) {
	n, err := Stat(r, ino)
	switch {
	case err != nil:
		return "", err
	case n.Type() != Symlink:
		return "", errs.Invalid
	}
	return n.Target, nil
}

// GetXattr returns the value of an extended attribute, which must not be changed. It fails with
// errs.NotFound or errs.NoAttribute.
func GetXattr(r index.Reader, ino ids.Ino, name string) ([]byte, error) {
	if v, ok := r.Get(XattrKey(ino, name)); ok {
		return v, nil
	}
	if _, err := Stat(r, ino); err != nil {
		return nil, err
	}
	return nil, errs.NoAttribute
}

// ListXattr returns the names of the extended attributes in byte order. It fails with errs.NotFound.
func ListXattr(r index.Reader, ino ids.Ino) ([]string, error) {
	n, err := Stat(r, ino)
	if err != nil || n.XattrBytes == 0 {
		return nil, err
	}
	var names []string
	from, to := inoRange(tableXattr, ino)
	r.Scan(from, to, func(k, _ []byte) bool {
		names = append(names, keyName(k))
		return true
	})
	return names, nil
}

// Orphan is an inode without a link, or what is left to do about one.
type Orphan struct {
	Released []ids.NodeID // ascending
	// Gone: all released it, its inode is deleted, but its contents may not be: objects.Drop and then
	// Dropped are due. Only regular files pass through this state.
	Gone bool
}

// Orphans calls fn for the orphans above after, ascending, until fn returns false.
func Orphans(r index.Reader, after ids.Ino, fn func(ino ids.Ino, o Orphan) bool) {
	from, to := orphanKey(after+1), []byte{tableOrphan + 1}
	r.Scan(from, to, func(k, v []byte) bool {
		ino := keyIno(k)
		return fn(ino, mustOrphan(ino, v))
	})
}

// Count returns the number of inodes, orphans included.
func Count(r index.Reader) uint64 { return loadCounters(r).inodes }

// Digest is a hash over all records but the locks, by which replicas compare. It does not depend on
// how they are stored or on what the past was.
func Digest(r index.Reader) uint64 { return digest(r, []byte{0}, []byte{tableLock}) }

// LockDigest is a hash over the locks. Only those that are newest compare.
func LockDigest(r index.Reader) uint64 { return digest(r, []byte{tableLock}, []byte{tableWait + 1}) }

func digest(r index.Reader, from, to []byte) uint64 {
	h := sha256.New()
	var size [8]byte
	r.Scan(from, to, func(k, v []byte) bool {
		binary.BigEndian.PutUint32(size[:], uint32(len(k)))
		binary.BigEndian.PutUint32(size[4:], uint32(len(v)))
		h.Write(size[:])
		h.Write(k)
		h.Write(v)
		return true
	})
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// The must functions read records that Apply wrote (T6).

func mustInode(ino ids.Ino, v []byte) Inode {
	n, err := DecodeInode(v)
	if err != nil {
		panic(fmt.Sprintf("namespace: T6: inode %d: %v", ino, err))
	}
	return n
}

func mustDirent(parent ids.Ino, name string, v []byte) (ids.Ino, Type) {
	ino, t, err := DecodeDirent(v)
	if err != nil {
		panic(fmt.Sprintf("namespace: T6: entry %q of directory %d: %v", name, parent, err))
	}
	return ino, t
}

func mustOrphan(ino ids.Ino, v []byte) Orphan {
	o, err := decodeOrphan(v)
	if err != nil {
		panic(fmt.Sprintf("namespace: T6: orphan %d: %v", ino, err))
	}
	return o
}
