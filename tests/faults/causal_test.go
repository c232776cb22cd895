package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// Each node has a writer with some files. Its k-th write goes to file k mod causalFiles and holds k, and for each other
// writer the greatest number that it had seen or heard of.
const (
	causalFiles  = 4
	causalFormat = "%08d %08d %08d\n"
)

// seen is, for each writer from 0, the greatest number known.
type seen [size]int64

func causalPath(dir string, writer, file int) string {
	return filepath.Join(dir, fmt.Sprintf("w%df%d", writer, file))
}

// look reads one file; one that holds nothing yet is all zeros.
func look(dir string, writer, file int) (s seen, err error) {
	b, err := os.ReadFile(causalPath(dir, writer, file))
	if err != nil || len(b) == 0 {
		return s, err
	}
	_, err = fmt.Sscanf(string(b), causalFormat, &s[0], &s[1], &s[2])
	return s, err
}

func (s *seen) learn(of seen) {
	for w := range s {
		s[w] = max(s[w], of[w])
	}
}

// writeCausally is the agent that looks at what another wrote, then writes, without waiting for anything.
func writeCausally(args []string) error {
	self, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	var files [causalFiles]*os.File
	for i := range files {
		if files[i], err = os.OpenFile(causalPath(args[0], self, i), os.O_CREATE|os.O_RDWR, 0o644); err != nil {
			return err
		}
	}
	var known seen
	end := asked()
	for {
		if w := rand.IntN(size); w != self && known[self] > 0 {
			got, err := look(args[0], w, rand.IntN(causalFiles))
			if err != nil {
				return err
			}
			known.learn(got)
		}
		known[self]++
		if _, err := fmt.Fprintf(writerAt{files[known[self]%causalFiles]}, causalFormat, known[0], known[1], known[2]); err != nil {
			return err
		}
		fmt.Println(known[self])
		select {
		case <-end:
			return nil
		default:
		}
	}
}

// writerAt writes at the beginning of a file in one call.
type writerAt struct{ *os.File }

func (w writerAt) Write(b []byte) (int, error) { return w.WriteAt(b, 0) }

// observeCausally is the agent that looks at one file and then asks all files for what must be there before (F5).
func observeCausally(args []string) error {
	end := asked()
	var known seen
	for k := 1; ; k++ {
		got, err := look(args[0], rand.IntN(size), rand.IntN(causalFiles))
		if err != nil {
			return err
		}
		known.learn(got)
		for w := range size {
			for f := range causalFiles {
				there, err := look(args[0], w, f)
				if err != nil {
					return err
				}
				// The last of known[w]'s predecessors, or itself, that went to this file.
				need := known[w] - (known[w]-int64(f)+causalFiles)%causalFiles
				if there[w] < need {
					fmt.Println("bad", fmt.Sprintf("knows %v, file %d of writer %d has %d", known, f, w, there[w]))
				}
			}
		}
		fmt.Println("ok", k)
		select {
		case <-end:
			return nil
		default:
		}
	}
}

// By default a write returns early; the order of causes is kept all the same, also over the death of a node.
func TestCausalOrder(t *testing.T) {
	t.Parallel()
	c, rng := start(t, devOptions), newRand(t)
	setup := spawn(t, "calls")
	for w := range size {
		for f := range causalFiles {
			setup.must(t, call{Op: "create", Path: causalPath(c.path(1), w, f)})
		}
	}
	var all []*process
	var turns [2 * size]atomic.Int64 // of writers, then of observers
	for i := range 2 * size {
		n := 1 + i%size
		p := spawn(t, []string{"causal", "observe"}[i/size], c.path(n), strconv.Itoa(i%size))
		p.follow(func(line string) {
			if len(line) > 3 && line[:3] == "bad" {
				t.Errorf("F5: node %d: %s", n, line)
			}
			turns[i].Add(1)
		})
		all = append(all, p)
	}
	goOn := func(who []int) {
		for _, i := range who {
			at := turns[i].Load()
			waitFor(t, fmt.Sprintf("agent %d", i), func() bool { return turns[i].Load() > at+40 })
		}
	}
	goOn([]int{0, 1, 2, 3, 4, 5})
	victim := rng.IntN(size)
	c.kill(victim + 1)
	var left []int
	for i := range all {
		if i%size != victim {
			left = append(left, i)
		}
	}
	goOn(left)
	c.restart(victim + 1)
	again := spawn(t, "observe", c.path(victim+1))
	again.follow(func(line string) {
		if len(line) > 3 && line[:3] == "bad" {
			t.Errorf("F5: node %d: %s", victim+1, line)
		}
		turns[victim+size].Add(1)
	})
	goOn(append(left, victim+size))
	began := time.Now()
	for _, i := range left {
		all[i].finish()
	}
	again.finish()
	t.Logf("ended in %v; writes %d %d %d, observations %d %d %d", time.Since(began).Round(time.Millisecond),
		turns[0].Load(), turns[1].Load(), turns[2].Load(), turns[3].Load(), turns[4].Load(), turns[5].Load())
}
