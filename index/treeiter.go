package index

import "bytes"

// treeIter moves over the keys [from, to) of a tree that does not change.
type treeIter[V any] struct {
	tree     tree[V]
	from, to []byte
	key      []byte
	val      V
	ok       bool
}

func (i *treeIter[V]) land(key []byte, val V, ok bool) bool {
	i.ok = ok && bytes.Compare(key, i.from) >= 0 && bytes.Compare(key, i.to) < 0
	i.key, i.val = key, val
	return i.ok
}

func (i *treeIter[V]) SeekGE(key []byte) bool {
	if bytes.Compare(key, i.from) < 0 {
		key = i.from
	}
	return i.land(i.tree.ceil(key, false))
}

func (i *treeIter[V]) SeekLT(key []byte) bool {
	if bytes.Compare(key, i.to) > 0 {
		key = i.to
	}
	return i.land(i.tree.lower(key))
}

func (i *treeIter[V]) Next() bool  { return i.land(i.tree.ceil(i.key, true)) }
func (i *treeIter[V]) Prev() bool  { return i.land(i.tree.lower(i.key)) }
func (i *treeIter[V]) Valid() bool { return i.ok }
func (i *treeIter[V]) Key() []byte { return i.key }
