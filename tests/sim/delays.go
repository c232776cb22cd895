package sim

import (
	"math/rand/v2"
	"time"

	"dfs/fabric/sim"
)

// delays say how long things take in this run.
type delays struct {
	link     time.Duration // on the network, at most, but for a few packets
	wakeup   time.Duration // from an event until the process runs
	again    time.Duration // from one step to the next one
	disk     time.Duration // about half of a sync
	thinking time.Duration // of clients, about
	skew     time.Duration // of clocks, at most
	steady   bool          // nothing takes much longer than usual
}

// draw chooses the style of a run.
func (d *delays) draw(rng *rand.Rand) {
	d.link = pick(rng, 5*time.Microsecond, 50*time.Microsecond, 50*time.Microsecond, 500*time.Microsecond, 5*time.Millisecond)
	d.wakeup = pick(rng, time.Microsecond, 20*time.Microsecond, 500*time.Microsecond)
	d.again = time.Microsecond
	d.disk = pick(rng, 10*time.Microsecond, 500*time.Microsecond, 5*time.Millisecond, 60*time.Millisecond)
	d.thinking = pick(rng, 2*time.Millisecond, 10*time.Millisecond, 40*time.Millisecond, 40*time.Millisecond)
	d.skew = pick(rng, 0, 5*time.Millisecond, clockBound)
}

// network draws the style of the network.
func (d *delays) network(rng *rand.Rand) sim.Config {
	return sim.Config{
		Seed: rng.Uint64(), MinDelay: int64(d.link / time.Duration(pick(rng, 1, 2, 20))), MaxDelay: int64(d.link),
		MinRetry: int64(time.Millisecond), MaxRetry: int64(pick(rng, 2*time.Millisecond, 200*time.Millisecond)),
		Tear: pick(rng, 0, 0, 0.05, 0.5),
	}
}

// calm is how things are when everything was healed.
func (d *delays) calm() { d.wakeup, d.disk, d.steady = 10*time.Microsecond, 200*time.Microsecond, true }

// about draws around a mean, now and then far beyond it.
func about(rng *rand.Rand, mean time.Duration) time.Duration {
	if mean == 0 {
		return 0
	}
	d := time.Duration(rng.Int64N(int64(2*mean))) + 1
	if rng.IntN(200) == 0 {
		d *= 20
	}
	return d
}

func (d *delays) schedule(rng *rand.Rand) time.Duration { return d.about(rng, d.wakeup) }

func (d *delays) sync(rng *rand.Rand) time.Duration { return d.about(rng, d.disk) }

func (d *delays) about(rng *rand.Rand, mean time.Duration) time.Duration {
	if d.steady {
		return mean
	}
	return about(rng, mean)
}

func (d *delays) think(rng *rand.Rand) time.Duration { return about(rng, d.thinking) }

// offset draws how wrong a clock is.
func (d *delays) offset(rng *rand.Rand) time.Duration {
	if d.skew == 0 {
		return 0
	}
	return time.Duration(rng.Int64N(int64(2*d.skew))) - d.skew
}
