package index

import "bytes"

// overIter iterates over the rows of a tree laid over those of another iterator: where both have a key the tree's
// row counts, and what it says is deleted is not shown.
type overIter struct {
	top   treeIter[held]
	low   Iter
	order int  // which of the two the present row is of: top below 0, low above, and at 0 both have the key
	back  bool // the last move went backwards, so both stand at or before the present key
	ok    bool
}

func newOverIter(top tree[held], low Iter, from, to []byte) *overIter {
	return &overIter{top: treeIter[held]{tree: top, from: from, to: to}, low: low}
}

func (i *overIter) SeekGE(key []byte) bool {
	i.top.SeekGE(key)
	i.low.SeekGE(key)
	i.back = false
	return i.settle()
}

func (i *overIter) SeekLT(key []byte) bool {
	i.top.SeekLT(key)
	i.low.SeekLT(key)
	i.back = true
	return i.settle()
}

func (i *overIter) Next() bool {
	if i.back {
		return i.SeekGE(append(bytes.Clone(i.Key()), 0))
	}
	i.step()
	return i.settle()
}

func (i *overIter) Prev() bool {
	if !i.back {
		return i.SeekLT(bytes.Clone(i.Key()))
	}
	i.step()
	return i.settle()
}

// step moves off the present key.
func (i *overIter) step() {
	switch {
	case i.order > 0:
	case i.back:
		i.top.Prev()
	default:
		i.top.Next()
	}
	switch {
	case i.order < 0:
	case i.back:
		i.low.Prev()
	default:
		i.low.Next()
	}
}

// settle finds out which row is the present one, and passes over keys that are deleted.
func (i *overIter) settle() bool {
	for {
		switch {
		case !i.top.ok && !i.low.Valid():
			i.ok = false
			return false
		case !i.top.ok:
			i.order = 1
		case !i.low.Valid():
			i.order = -1
		default:
			if i.order = bytes.Compare(i.top.key, i.low.Key()); i.back {
				i.order = -i.order
			}
		}
		if i.order > 0 || !i.top.val.deleted {
			i.ok = true
			return true
		}
		i.step()
	}
}

func (i *overIter) Valid() bool { return i.ok }

func (i *overIter) Key() []byte {
	if i.order <= 0 {
		return i.top.key
	}
	return i.low.Key()
}

func (i *overIter) Value() []byte {
	if i.order <= 0 {
		return i.top.val.value
	}
	return i.low.Value()
}

func (i *overIter) Close() error { return i.low.Close() }
