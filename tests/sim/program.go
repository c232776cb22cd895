package sim

import (
	"math/rand/v2"

	"dfs/ids"
	"dfs/namespace"
	"dfs/objects"
	"dfs/shards"
)

// program draws operations that make sense often enough: few names, and inodes that are known to exist or
// soon will. What it knows is what calls have answered.
type program struct {
	inos  ids.Ino // all seen are at most this
	dirs  []ids.Ino
	files []ids.Ino
	sizes []int // of data, at most; in bytes
}

func newProgram(ringBytes int) *program {
	p := &program{inos: ids.RootIno, dirs: []ids.Ino{ids.RootIno}}
	for _, size := range []int{200, 200, 5000, 12000} {
		p.sizes = append(p.sizes, min(size, ringBytes/4-1024))
	}
	if ringBytes >= 2<<20 {
		// So that a node may miss more than goes into one message.
		p.sizes = append(p.sizes, 100<<10)
	}
	return p
}

// created takes note of what a Create has answered.
func (p *program) created(ino ids.Ino, t namespace.Type) {
	p.inos = max(p.inos, ino)
	switch t {
	case namespace.Directory:
		p.dirs = append(p.dirs, ino)
	case namespace.Regular:
		p.files = append(p.files, ino)
	}
}

func pick[T any](rng *rand.Rand, from ...T) T { return from[rng.IntN(len(from))] }

func (p *program) dir(rng *rand.Rand) ids.Ino {
	if rng.IntN(2) == 0 {
		return ids.RootIno
	}
	return pick(rng, p.dirs...)
}

func (p *program) file(rng *rand.Rand) ids.Ino {
	if len(p.files) == 0 || rng.IntN(20) == 0 {
		return p.any(rng)
	}
	// A few files get most of it, so that they have a history.
	return p.files[rng.IntN(min(len(p.files), 6))]
}

func (p *program) any(rng *rand.Rand) ids.Ino { return 1 + ids.Ino(rng.Uint64N(uint64(p.inos)+1)) }

func (p *program) name(rng *rand.Rand) string {
	return pick(rng, "a", "b", "c", "d", "e", "f", "g", "h", "notes", "data")
}

// operation draws one operation; own are inodes that nobody else uses, which may be dropped.
func (p *program) operation(rng *rand.Rand, own ids.Ino) (sub ids.Subgroup, op, data []byte) {
	if rng.IntN(2) == 0 {
		return ids.Namespace, p.names(rng).Encode(), nil
	}
	if rng.IntN(12) == 0 {
		return p.dropped(rng, own)
	}
	ino := p.file(rng)
	o := p.contents(rng, ino)
	switch o.(type) {
	case objects.Write, objects.Append:
		data = p.data(rng)
	}
	return shards.ShardOf(ino, dataShards), o.Encode(), data
}

func (p *program) data(rng *rand.Rand) []byte {
	b := make([]byte, 1+rng.IntN(pick(rng, p.sizes...)))
	x := rng.Uint64()
	for i := range b {
		b[i] = byte(x >> (i % 57))
	}
	return b
}

// dropped writes or drops a file that is the caller's own.
func (p *program) dropped(rng *rand.Rand, own ids.Ino) (sub ids.Subgroup, op, data []byte) {
	sub = shards.ShardOf(own, dataShards)
	switch rng.IntN(4) {
	case 0:
		return sub, objects.Purge{}.Encode(), nil
	case 1:
		return sub, objects.Drop{Inos: []ids.Ino{own}}.Encode(), nil
	}
	return sub, objects.Append{Ino: own}.Encode(), p.data(rng)
}

func (p *program) names(rng *rand.Rand) namespace.Op {
	parent, name := p.dir(rng), p.name(rng)
	switch rng.IntN(16) {
	case 0, 1, 2, 3:
		return namespace.Create{Parent: parent, Name: name, Mode: pick[uint32](rng, 0o100644, 0o100600, 0o100755), UID: 7, Exclusive: rng.IntN(2) == 0}
	case 4, 5:
		return namespace.Create{Parent: parent, Name: name, Mode: 0o40755, GID: 3, Exclusive: true}
	case 6:
		return namespace.Create{Parent: parent, Name: name, Mode: 0o120777, Target: "over/there"}
	case 7, 8:
		return namespace.Rename{OldParent: parent, OldName: name, NewParent: p.dir(rng), NewName: p.name(rng),
			Flags: pick[namespace.RenameFlags](rng, 0, 0, 0, 1, 2)}
	case 9:
		return namespace.Link{Ino: p.file(rng), Parent: parent, Name: name}
	case 10, 11:
		return namespace.Unlink{Parent: parent, Name: name}
	case 12:
		return namespace.Rmdir{Parent: parent, Name: name}
	case 13:
		return namespace.SetXattr{Ino: p.any(rng), Name: pick(rng, "user.a", "user.b"), Value: p.data(rng)[:1]}
	case 14:
		if rng.IntN(2) == 0 {
			return namespace.Release{Node: 1, Members: []ids.NodeID{1}, Inos: []ids.Ino{p.any(rng), p.any(rng)}}
		}
		return namespace.RemoveXattr{Ino: p.any(rng), Name: pick(rng, "user.a", "user.b")}
	}
	return namespace.SetAttr{Ino: p.any(rng), Valid: namespace.AttrMode | namespace.AttrUID, Mode: rng.Uint32N(0o10000), UID: rng.Uint32N(9)}
}

func (p *program) contents(rng *rand.Rand, ino ids.Ino) objects.Op {
	off, length := rng.Int64N(20000), 1+rng.Int64N(9000)
	switch rng.IntN(16) {
	case 0, 1, 2, 3, 4, 5:
		return objects.Write{Ino: ino, Off: off}
	case 6, 7, 8, 9:
		return objects.Append{Ino: ino}
	case 10:
		return objects.Truncate{Ino: ino, Size: pick(rng, 0, off)}
	case 11:
		return objects.PunchHole{Ino: ino, Off: off, Len: length}
	case 12:
		return objects.ZeroRange{Ino: ino, Off: off, Len: length, KeepSize: rng.IntN(2) == 0}
	case 13:
		return objects.SetTimes{Ino: ino, Mtime: objects.Time{Kind: objects.TimeNow}, Atime: objects.Time{Kind: objects.TimeAt, At: off}}
	case 14:
		return objects.Allocate{Ino: ino, Off: off, Len: length}
	}
	return objects.Clone{Src: ino, SrcOff: off / 2, Dst: ino, DstOff: 30000 + off, Len: length}
}
