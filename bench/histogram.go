package bench

import (
	"encoding/json"
	"math/bits"
	"time"
)

// fineBits is how finely a Histogram tells values apart: 1/2^fineBits of the value.
const fineBits = 6

// Histogram counts durations with an error below two percent, in fixed memory. The zero value is empty.
type Histogram struct {
	counts [(64 - fineBits) << fineBits]uint64
	n      uint64
	sum    time.Duration
}

// bucket returns where d is counted. Below 2^(fineBits+1) every value has a bucket of its own; above, the
// leading fineBits+1 bits decide.
func bucket(d time.Duration) int {
	v := uint64(max(d, 0))
	shift := bits.Len64(v|1<<fineBits) - fineBits - 1
	return shift<<fineBits + int(v>>shift)
}

// middle is a duration in the middle of bucket i.
func middle(i int) time.Duration {
	if i < 2<<fineBits {
		return time.Duration(i)
	}
	shift := i>>fineBits - 1
	low := uint64(i-shift<<fineBits) << shift
	return time.Duration(low + 1<<shift/2)
}

// Add counts a duration.
func (h *Histogram) Add(d time.Duration) {
	h.counts[bucket(d)]++
	h.n++
	h.sum += d
}

// Merge adds all that o counted.
func (h *Histogram) Merge(o *Histogram) {
	for i, c := range o.counts {
		h.counts[i] += c
	}
	h.n += o.n
	h.sum += o.sum
}

// Count returns how many durations were counted.
func (h *Histogram) Count() uint64 { return h.n }

// Mean returns the mean, 0 of none.
func (h *Histogram) Mean() time.Duration {
	if h.n == 0 {
		return 0
	}
	return h.sum / time.Duration(h.n)
}

// Quantile returns the least duration that the share q of all does not exceed, 0 of none.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := max(uint64(q*float64(h.n)+0.999999), 1)
	seen := uint64(0)
	for i, c := range h.counts {
		if seen += c; seen >= rank && c > 0 {
			return middle(i)
		}
	}
	return 0
}

// wire is a Histogram between two processes: pairs of bucket and count.
type wire struct {
	Sum     time.Duration
	Buckets [][2]uint64
}

// MarshalJSON writes the buckets that are not empty.
func (h *Histogram) MarshalJSON() ([]byte, error) {
	w := wire{Sum: h.sum}
	for i, c := range h.counts {
		if c > 0 {
			w.Buckets = append(w.Buckets, [2]uint64{uint64(i), c})
		}
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads what MarshalJSON wrote; buckets that do not exist are left out.
func (h *Histogram) UnmarshalJSON(b []byte) error {
	var w wire
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*h = Histogram{sum: w.Sum}
	for _, p := range w.Buckets {
		if p[0] < uint64(len(h.counts)) {
			h.counts[p[0]] += p[1]
			h.n += p[1]
		}
	}
	return nil
}

// Percentiles are what is told of a Histogram.
type Percentiles struct {
	P50  time.Duration `json:"p50_ns"`
	P99  time.Duration `json:"p99_ns"`
	P999 time.Duration `json:"p999_ns"`
	Mean time.Duration `json:"mean_ns"`
	N    uint64        `json:"n"`
}

// Percentiles sums the histogram up.
func (h *Histogram) Percentiles() Percentiles {
	return Percentiles{P50: h.Quantile(0.5), P99: h.Quantile(0.99), P999: h.Quantile(0.999), Mean: h.Mean(), N: h.n}
}
