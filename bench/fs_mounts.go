package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// lookLimit is how long a change may take to be seen on another mount.
const lookLimit = 10 * time.Second

// get reads the number in a file, 0 if it is not there or is being written.
func get(name string) (uint64, error) {
	f, err := os.Open(name)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return 0, nil
		}
		return 0, err
	}
	var b [8]byte
	n, _ := f.Read(b[:])
	if err := f.Close(); err != nil || n < len(b) {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}

func set(name string, v uint64) error { return put(name, binary.LittleEndian.AppendUint64(nil, v)) }

// see looks at a file until it has the number, and returns how often it did.
func see(name string, v uint64) (looks int, err error) {
	start := time.Now()
	for looks = 1; ; looks++ {
		switch got, err := get(name); {
		case err != nil:
			return looks, err
		case got >= v:
			return looks, nil
		case time.Since(start) > lookLimit:
			return looks, fmt.Errorf("%s: not seen after %v", name, lookLimit)
		}
	}
}

// closeToSeen measures from the start of close on one mount until the file is read on another.
func closeToSeen(r *run) error {
	here, there := filepath.Join(r.at(0), "seen"), filepath.Join(r.at(1), "seen")
	for i := range r.n(400) {
		f, err := os.OpenFile(here, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		if _, err := f.Write(binary.LittleEndian.AppendUint64(nil, uint64(i+1))); err != nil {
			return errors.Join(err, f.Close())
		}
		start := time.Now()
		if err := f.Close(); err != nil {
			return err
		}
		looks, err := see(there, uint64(i+1))
		if err != nil {
			return err
		}
		d := time.Since(start)
		r.latency.Add(d)
		r.count, r.elapsed, r.looks = r.count+1, r.elapsed+d, r.looks+1
		if looks > 1 {
			r.stale++
		}
	}
	return nil
}

// pingPong passes a number between two mounts, through a file for each direction.
func pingPong(r *run) error {
	rounds := r.n(200)
	answered := make(chan error, 1)
	go func() {
		for i := range rounds {
			if _, err := see(filepath.Join(r.at(1), "ping"), uint64(i+1)); err != nil {
				answered <- err
				return
			}
			if err := set(filepath.Join(r.at(1), "pong"), uint64(i+1)); err != nil {
				answered <- err
				return
			}
		}
		answered <- nil
	}()
	err := r.each(rounds, func(i int) error {
		if err := set(filepath.Join(r.at(0), "ping"), uint64(i+1)); err != nil {
			return err
		}
		_, err := see(filepath.Join(r.at(0), "pong"), uint64(i+1))
		return err
	})
	return errors.Join(err, <-answered)
}
