package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

// workerVariable makes the test program a worker.
const workerVariable = "DFS_BENCH_TEST_WORKER"

func TestMain(m *testing.M) {
	if os.Getenv(workerVariable) != "" {
		if err := Work(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func short(t *testing.T) Multicast {
	return Multicast{
		Members: 3, Senders: []int{3, 1}, Sizes: []int{64, 100_000}, Window: 100, Ring: 1 << 20,
		WarmUp: 10 * time.Millisecond, Time: 50 * time.Millisecond, Rounds: 1, Latency: true,
		Worker: func(ctx context.Context) *exec.Cmd {
			cmd := exec.CommandContext(ctx, os.Args[0])
			cmd.Env = append(os.Environ(), workerVariable+"=1")
			cmd.Stderr = os.Stderr
			return cmd
		},
		Progress: func(text string) { t.Log(text) },
	}
}

func check(t *testing.T, c Multicast, rows []MulticastResult) {
	if len(rows) != len(c.Senders)*len(c.Sizes) {
		t.Fatalf("%d rows", len(rows))
	}
	for _, r := range rows {
		if r.PerSecond <= 0 || r.BytesRate != r.PerSecond*float64(r.Size) || r.Closed == nil || r.Closed.N == 0 || r.Closed.P50 > r.Closed.P999 {
			t.Errorf("B1, B3: %+v, %+v", r, r.Closed)
		}
		if !c.InProcess && (r.Limit <= 0 || r.Ratio <= 0) {
			t.Errorf("B2: no comparison in %+v", r)
		}
	}
}

// B1, B2, B3: every case has its row, with what it is compared to.
func TestMulticastProcesses(t *testing.T) {
	c := short(t)
	rows, err := c.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	check(t, c, rows)
}

func TestMulticastInProcess(t *testing.T) {
	c := short(t)
	c.InProcess = true
	rows, err := c.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	check(t, c, rows)
}

// A message that no ring holds is refused by the members, and the error says so.
func TestMulticastTooLarge(t *testing.T) {
	for _, c := range []Multicast{short(t), short(t)} {
		c.Sizes, c.InProcess = []int{1 << 20}, !c.InProcess
		if rows, err := c.Run(context.Background()); err == nil {
			t.Errorf("got %+v", rows)
		}
	}
}

// B1: the slowest counts.
func TestSlowestCounts(t *testing.T) {
	r := Multicast{}.sum(Load{Members: 2, Senders: 1, Size: 10}, []Count{
		{Delivered: 1000, Elapsed: time.Second, Steps: 10}, {Delivered: 1000, Elapsed: 2 * time.Second, Steps: 10},
	})
	if r.PerSecond != 500 || r.BytesRate != 5000 || r.Batch != 100 {
		t.Errorf("B1: %+v", r)
	}
}

// B2: the median of an even number of rounds is one that was measured.
func TestMedian(t *testing.T) {
	id := func(f float64) float64 { return f }
	for _, c := range []struct {
		want float64
		of   []float64
	}{{3, []float64{3}}, {2, []float64{9, 2}}, {5, []float64{9, 5, 1}}, {2, []float64{9, 2, 5, 1}}} {
		if got := medianBy(c.of, id); got != c.want {
			t.Errorf("B2: median of %v is %v", c.of, got)
		}
	}
}
