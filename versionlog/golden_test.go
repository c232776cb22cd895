package versionlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"dfs/errs"
	"dfs/nvm"
	"dfs/record"
)

// TestGolden runs the scripts in testdata: what is written, synced, made and removed, and in which order.
// The commands are
//
//	open
//	append [BYTES OF DATA]...
//	sync
//	close
//	capacity BYTES
//	fail VERB [half]     the next operation with that verb
//	crash [seed=N]       storage keeps everything, or what the seed picks
//
// Run with -rewrite to take over what happens now; then look at the difference.
func TestGolden(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.Contains(path, "fuzz") {
			return
		}
		s := &script{d: nvm.NewStrict()}
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			s.trace.Reset()
			s.d.SetHook(s.hook)
			s.run(t, td)
			if s.l != nil {
				fmt.Fprintf(&s.trace, "end %d durable %d low %v\n", s.l.End(), s.l.Durable(), s.l.Low())
			}
			return s.trace.String()
		})
	})
}

type script struct {
	d     *nvm.Strict
	l     *Log
	i     int
	fail  nvm.Verb
	half  bool
	trace strings.Builder
}

// hook writes down everything that changes something.
func (s *script) hook(op nvm.Op) (int, error) {
	if op.Verb != nvm.Read && op.Verb != nvm.List && op.Verb != nvm.Open {
		fmt.Fprintln(&s.trace, op)
	}
	if op.Verb != s.fail {
		return 0, nil
	}
	s.fail = ""
	keep := 0
	if s.half {
		keep = op.Len / 2
	}
	return keep, errs.New(errs.IO, "injected")
}

func (s *script) run(t *testing.T, td *datadriven.TestData) {
	var err error
	switch td.Cmd {
	case "open":
		s.l, err = Open(Config{Dir: s.d, SegmentSize: testSize})
	case "append":
		var recs []record.Record
		for _, arg := range td.CmdArgs {
			n := 0
			if _, err := fmt.Sscan(arg.Key, &n); err != nil {
				td.Fatalf(t, "%v", err)
			}
			s.i++
			recs = append(recs, rec(s.i, n))
		}
		var lsns []LSN
		lsns, err = s.l.Append(recs)
		if err == nil {
			fmt.Fprintln(&s.trace, "appended at", lsns)
		}
	case "sync":
		_, err = s.l.Sync()
	case "close":
		err = s.l.Close()
		s.l = nil
	case "capacity":
		n := int64(0)
		td.ScanArgs(t, "bytes", &n)
		s.d.SetCapacity(n)
	case "fail":
		s.fail, s.half = nvm.Verb(td.CmdArgs[0].Key), td.HasArg("half")
	case "crash":
		var rng *rand.Rand
		if len(td.CmdArgs) > 0 {
			seed := uint64(0)
			td.ScanArgs(t, "seed", &seed)
			rng = rand.New(rand.NewPCG(seed, 0))
		}
		s.l, s.d = nil, s.d.Crash(rng)
		entries, listErr := s.d.List()
		for _, e := range entries {
			fmt.Fprintln(&s.trace, e.Name, e.Size)
		}
		err = listErr
	default:
		td.Fatalf(t, "no such command")
	}
	if err != nil {
		fmt.Fprintf(&s.trace, "error: %v\n", errors.Join(err))
	}
}
