package bench

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// B4: every quantile lies within two percent of the true one.
func TestQuantiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	var all []time.Duration
	for range 10_000 {
		d := time.Duration(1) << rng.IntN(40)
		d += time.Duration(rng.Int64N(int64(d)))
		h.Add(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.001, 0.5, 0.99, 0.999, 1} {
		want := all[max(int(q*float64(len(all))+0.999999)-1, 0)]
		if got := h.Quantile(q); got < want-want/50 || got > want+want/50 {
			t.Errorf("B4: quantile %v is %v, want %v", q, got, want)
		}
	}
}

// B4: small values are exact, the greatest has a bucket.
func TestBuckets(t *testing.T) {
	for d := range time.Duration(128) {
		if got := middle(bucket(d)); got != d {
			t.Errorf("B4: %d became %d", d, got)
		}
	}
	var h Histogram
	h.Add(-1)
	h.Add(1<<63 - 1)
	if h.Quantile(0.5) != 0 || h.Quantile(1) < 1<<62 {
		t.Errorf("B4: %v, %v", h.Quantile(0.5), h.Quantile(1))
	}
}

// B4: a histogram travels whole, and merging counts everything.
func TestHistogramJSON(t *testing.T) {
	var a, b Histogram
	for i := range 1000 {
		a.Add(time.Duration(i) * time.Microsecond)
	}
	text, err := json.Marshal(&a)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &b); err != nil || b != a {
		t.Fatalf("B4: %v", err)
	}
	b.Merge(&a)
	if b.Count() != 2000 || b.Mean() != a.Mean() || b.Quantile(0.9) != a.Quantile(0.9) {
		t.Errorf("B4: %+v", b.Percentiles())
	}
	if (&Histogram{}).Percentiles() != (Percentiles{}) {
		t.Error("B4: percentiles of nothing")
	}
}

func BenchmarkHistogramAdd(b *testing.B) {
	var h Histogram
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		h.Add(time.Duration(i))
	}
}
