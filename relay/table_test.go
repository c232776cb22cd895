package relay

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/large-messages.md")

const (
	bandwidth = 12.5e9 // bytes a second, each way
	latency   = 2e-6   // of a hop, in seconds
	object    = 100 << 20
)

// network is full-duplex links of all members to a switch that is no bottleneck.
type network struct {
	out, in []float64   // from when each is free
	there   [][]float64 // when each member has each block
}

// simulate returns the time until all members have the object, each making its sends in the order of its plan.
func simulate(p Plan, block float64) float64 {
	net := network{make([]float64, p.Members), make([]float64, p.Members), make([][]float64, p.Members)}
	todo := make([][]Send, p.Members)
	for m := range net.there {
		net.there[m] = make([]float64, p.Blocks)
		for b := range net.there[m] {
			if m > 0 {
				net.there[m][b] = -1
			}
		}
	}
	for _, step := range p.All() {
		for _, s := range step {
			todo[s.From] = append(todo[s.From], s)
		}
	}
	end := 0.0
	for {
		first, at := -1, 0.0
		for m := range todo {
			if len(todo[m]) == 0 || net.there[m][todo[m][0].Block] < 0 {
				continue
			}
			s := todo[m][0]
			if t := max(net.out[m], net.there[m][s.Block], net.in[s.To]); first < 0 || t < at {
				first, at = m, t
			}
		}
		if first < 0 {
			return end
		}
		s := todo[first][0]
		todo[first] = todo[first][1:]
		done := at + block/bandwidth
		net.out[s.From], net.in[s.To], net.there[s.To][s.Block] = done, done, done+latency
		end = max(end, done+latency)
	}
}

const preface = `# Large messages to groups

Time until every member has 100 MiB, simulated: each member has a link of 12.5 GB/s each way, a hop takes 2 us, and the
switch is no bottleneck. "one by one" is the sender sending it to each receiver; the others are the binomial pipeline of
package relay, in blocks of 1 MiB and of 256 KiB. "of two" compares the last with a group of two.

`

// The table in docs is what the plans give. No group takes more than three times as long as one of two.
func TestTable(t *testing.T) {
	var b, plot strings.Builder
	b.WriteString(preface + "| members | one by one, ms | 1 MiB, ms | 256 KiB, ms | of two |\n|---|---|---|---|---|\n")
	base := 0.0
	for _, n := range []int{2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128} {
		large, small := simulate(Plan{n, 100}, 1<<20), simulate(Plan{n, 400}, 256<<10)
		if n == 2 {
			base = small
		}
		fmt.Fprintf(&b, "| %d | %.1f | %.2f | %.2f | %.2f |\n", n, float64(n-1)*object/bandwidth*1e3, large*1e3, small*1e3, small/base)
		fmt.Fprintf(&plot, "    %3d  %s %.1f\n", n, strings.Repeat("#", int(small*1e3*2.5+0.5)), small*1e3)
		if small > 3*base {
			t.Errorf("%d members take %.2f times as long as two", n, small/base)
		}
	}
	b.WriteString("\nIn blocks of 256 KiB, milliseconds by members:\n\n" + plot.String())
	const file = "../docs/large-messages.md"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	was, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(was, []byte(b.String())) {
		t.Errorf("%s is not what the plans give (%v): go test ./relay -update", file, err)
	}
}

func BenchmarkPlan128(b *testing.B) {
	for b.Loop() {
		Plan{128, 400}.All()
	}
}
