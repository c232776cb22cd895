package sim

// event is something due: a function, the head of an inbox, or an attempt to connect.
type event struct {
	at   Nanos
	seq  uint64 // order of scheduling, which decides between equal times (Y2)
	fn   func()
	in   *end
	link *link
}

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

// eventQueue is a binary heap of events; container/heap would allocate for each.
type eventQueue struct {
	heap []event
	seq  uint64
}

func (q *eventQueue) push(e event) {
	q.seq++
	e.seq = q.seq
	q.heap = append(q.heap, e)
	h, i := q.heap, len(q.heap)-1
	for i > 0 {
		up := (i - 1) / 2
		if !h[i].before(&h[up]) {
			break
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
}

func (q *eventQueue) pop() event {
	h := q.heap
	top, last := h[0], len(h)-1
	h[0], h[last] = h[last], event{}
	h = h[:last]
	q.heap = h
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if h[child].before(&h[least]) {
				least = child
			}
		}
		if least == i {
			return top
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}

// fifo is a queue that reuses its memory.
type fifo[T any] struct {
	items []T
	head  int
}

func (f *fifo[T]) len() int  { return len(f.items) - f.head }
func (f *fifo[T]) first() *T { return &f.items[f.head] }
func (f *fifo[T]) all() []T  { return f.items[f.head:] }
func (f *fifo[T]) clear()    { f.truncate(0) }
func (f *fifo[T]) push(v T) {
	if f.head > 32 && f.head > len(f.items)/2 {
		k := copy(f.items, f.items[f.head:])
		clear(f.items[k:])
		f.items, f.head = f.items[:k], 0
	}
	f.items = append(f.items, v)
}

func (f *fifo[T]) pop() T {
	v := f.items[f.head]
	clear(f.items[f.head : f.head+1])
	f.head++
	return v
}

// truncate keeps the first n.
func (f *fifo[T]) truncate(n int) {
	clear(f.items[f.head+n:])
	f.items = f.items[:f.head+n]
}
