package shards

import "sync"

// workers run what reads much of the log beside the steps: answers to those who ask for data, and looking for what is to
// be got. There are goroutines only while there is work.
type workers struct {
	mu      sync.Mutex
	queue   []func()
	running sync.WaitGroup
	count   int
	ended   bool
}

const maxWorkers = 2

func (w *workers) do(fn func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	w.queue = append(w.queue, fn)
	if w.count < maxWorkers {
		w.count++
		w.running.Go(w.work)
	}
}

func (w *workers) work() {
	for {
		w.mu.Lock()
		if len(w.queue) == 0 {
			w.count--
			w.mu.Unlock()
			return
		}
		fn := w.queue[0]
		w.queue = w.queue[1:]
		w.mu.Unlock()
		fn()
	}
}

// end forgets what has not begun and waits for what has.
func (w *workers) end() {
	w.mu.Lock()
	w.queue, w.ended = nil, true
	w.mu.Unlock()
	w.running.Wait()
}
