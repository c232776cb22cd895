package index

import (
	"bytes"
	"slices"
)

// maxItems bounds a node: it splits in two when it would hold more.
const maxItems = 48

// tree is an ordered map from byte strings, a B+ tree whose nodes are shared between snapshots and
// copied when one of them is written. Nodes vanish when they are empty and are not merged before: a
// tree that shrinks keeps some slack. Keys and values are kept as given and must not change. The
// zero value is empty. Many may read a tree at once while nobody writes it; a snapshot is a tree of
// its own.
type tree[V any] struct {
	root  *node[V]
	owner *owner // nodes of this owner may be written in place
	count int
}

// owner is an identity; it has a size so that no two have the same address.
type owner struct{ _ byte }

type node[V any] struct {
	owner *owner
	keys  [][]byte // of a leaf: its keys; else keys[i] is the least key that may be below kids[i+1]
	vals  []V
	kids  []*node[V] // nil in a leaf
}

// snapshot returns a tree with the present content.
func (t *tree[V]) snapshot() tree[V] {
	t.owner = nil
	return tree[V]{root: t.root, count: t.count}
}

// find returns the place of key in n.keys, or where it would be, and whether it is there.
func (n *node[V]) find(key []byte) (int, bool) {
	lo, hi := 0, len(n.keys)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		switch c := bytes.Compare(n.keys[mid], key); {
		case c == 0:
			return mid, true
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return lo, false
}

// kid returns which child of the inner node n may hold key.
func (n *node[V]) kid(key []byte) int {
	i, equal := n.find(key)
	if equal {
		i++
	}
	return i
}

func (t *tree[V]) get(key []byte) (v V, ok bool) {
	n := t.root
	if n == nil {
		return v, false
	}
	for n.kids != nil {
		n = n.kids[n.kid(key)]
	}
	if i, ok := n.find(key); ok {
		return n.vals[i], true
	}
	return v, false
}

// writable returns n if t owns it, else a copy that t owns.
func (t *tree[V]) writable(n *node[V]) *node[V] {
	if t.owner == nil {
		t.owner = new(owner)
	}
	if n.owner == t.owner {
		return n
	}
	return &node[V]{
		owner: t.owner,
		keys:  append(make([][]byte, 0, len(n.keys)+1), n.keys...),
		vals:  append(make([]V, 0, len(n.vals)+1), n.vals...),
		kids:  slices.Clone(n.kids),
	}
}

func (t *tree[V]) set(key []byte, v V) {
	slot, _ := t.slot(key)
	*slot = v
}

// slot returns where the value of key lies until the next change of the tree, and whether it was there before. A
// new one is zero.
func (t *tree[V]) slot(key []byte) (v *V, was bool) {
	if t.root == nil {
		t.root = &node[V]{}
	}
	t.root = t.writable(t.root)
	v, was, least, right := t.insert(t.root, key)
	if right != nil {
		t.root = &node[V]{owner: t.owner, keys: [][]byte{least}, kids: []*node[V]{t.root, right}}
	}
	return v, was
}

// insert finds or makes the place of key below the writable n. If n had to split, it returns the new right half
// and its least key.
func (t *tree[V]) insert(n *node[V], key []byte) (v *V, was bool, least []byte, right *node[V]) {
	if n.kids != nil {
		i := n.kid(key)
		n.kids[i] = t.writable(n.kids[i])
		v, was, least, right = t.insert(n.kids[i], key)
		if right == nil {
			return v, was, nil, nil
		}
		n.keys, n.kids = slices.Insert(n.keys, i, least), slices.Insert(n.kids, i+1, right)
		least, right = n.split()
		return v, was, least, right
	}
	i, was := n.find(key)
	if was {
		return &n.vals[i], true, nil, nil
	}
	var zero V
	n.keys, n.vals = slices.Insert(n.keys, i, key), slices.Insert(n.vals, i, zero)
	t.count++
	if least, right = n.split(); right != nil && i >= len(n.vals) {
		return &right.vals[i-len(n.vals)], false, least, right
	}
	return &n.vals[i], false, least, right
}

// split parts n in two if it holds too much.
func (n *node[V]) split() (least []byte, right *node[V]) {
	if len(n.keys) <= maxItems {
		return nil, nil
	}
	// Keys mostly arrive in ascending order, so the left half is left fuller.
	at := len(n.keys) * 3 / 4
	least, right = n.keys[at], &node[V]{owner: n.owner}
	if n.kids == nil {
		right.keys, right.vals = slices.Clone(n.keys[at:]), slices.Clone(n.vals[at:])
		clear(n.vals[at:])
		n.vals = n.vals[:at]
	} else {
		right.keys, right.kids = slices.Clone(n.keys[at+1:]), slices.Clone(n.kids[at+1:])
		clear(n.kids[at+1:])
		n.kids = n.kids[:at+1]
	}
	clear(n.keys[at:])
	n.keys = n.keys[:at]
	return least, right
}

func (t *tree[V]) delete(key []byte) {
	if _, ok := t.get(key); !ok {
		return
	}
	t.root = t.writable(t.root)
	t.count--
	if t.remove(t.root, key) {
		t.root = nil
		return
	}
	for len(t.root.kids) == 1 {
		t.root = t.root.kids[0]
	}
}

// remove takes the existing key from below the writable n and reports whether n is empty now.
func (t *tree[V]) remove(n *node[V], key []byte) bool {
	if n.kids == nil {
		i, _ := n.find(key)
		n.keys, n.vals = slices.Delete(n.keys, i, i+1), slices.Delete(n.vals, i, i+1)
		return len(n.keys) == 0
	}
	i := n.kid(key)
	n.kids[i] = t.writable(n.kids[i])
	if !t.remove(n.kids[i], key) {
		return false
	}
	n.kids = slices.Delete(n.kids, i, i+1)
	if len(n.kids) == 0 {
		return true
	}
	// The bound that parted the child from a neighbour goes with it.
	k := max(i-1, 0)
	n.keys = slices.Delete(n.keys, k, k+1)
	return false
}

// each calls fn for all keys in order. fn must not change the tree.
func (t *tree[V]) each(fn func(key []byte, v V)) {
	if t.root != nil {
		t.root.each(fn)
	}
}

func (n *node[V]) each(fn func(key []byte, v V)) {
	for _, kid := range n.kids {
		kid.each(fn)
	}
	for i, v := range n.vals {
		fn(n.keys[i], v)
	}
}

// ceil returns the least key >= key, or > key if beyond is set.
func (t *tree[V]) ceil(key []byte, beyond bool) (k []byte, v V, ok bool) {
	if t.root == nil {
		return nil, v, false
	}
	return t.root.ceil(key, beyond)
}

func (n *node[V]) ceil(key []byte, beyond bool) (k []byte, v V, ok bool) {
	if n.kids == nil {
		i, equal := n.find(key)
		if equal && beyond {
			i++
		}
		if i == len(n.keys) {
			return nil, v, false
		}
		return n.keys[i], n.vals[i], true
	}
	for i := n.kid(key); i < len(n.kids); i++ {
		// At most two turns: no node is empty.
		if k, v, ok = n.kids[i].ceil(key, beyond); ok {
			return k, v, true
		}
	}
	return nil, v, false
}

// lower returns the greatest key < key.
func (t *tree[V]) lower(key []byte) (k []byte, v V, ok bool) {
	if t.root == nil {
		return nil, v, false
	}
	return t.root.lower(key)
}

func (n *node[V]) lower(key []byte) (k []byte, v V, ok bool) {
	if n.kids == nil {
		i, _ := n.find(key)
		if i == 0 {
			return nil, v, false
		}
		return n.keys[i-1], n.vals[i-1], true
	}
	for i := n.kid(key); i >= 0; i-- {
		if k, v, ok = n.kids[i].lower(key); ok {
			return k, v, true
		}
	}
	return nil, v, false
}
