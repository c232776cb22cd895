package bench

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	mib  = 1 << 20
	page = 4096

	bigSize = 128 // MiB of the sequential file
)

func (r *run) big(mount int) string { return filepath.Join(r.at(mount), "big") }

// fill returns bytes that do not compress away.
func fill(n int) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(b)
	return b
}

// write writes a file of so many MiB and syncs it.
func write(name string, mebibytes int) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	p := fill(mib)
	for range mebibytes {
		if _, err := f.Write(p); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(f.Sync(), f.Close())
}

func seqWrite(r *run) error {
	n := r.n(bigSize)
	return r.time(n, func() error { return write(r.big(0), n) })
}

func (r *run) read(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	p := make([]byte, mib)
	n := r.n(bigSize)
	return r.time(n, func() error {
		for range n {
			if _, err := io.ReadFull(f, p); err != nil {
				return err
			}
		}
		return nil
	})
}

func seqReadCold(r *run) error {
	if err := r.cool(r.big(0)); err != nil {
		return err
	}
	return r.read(r.big(0))
}

func seqReadWarm(r *run) error { return r.read(r.big(0)) }

func seqReadOther(r *run) error {
	if err := r.cool(r.big(1)); err != nil {
		return err
	}
	return r.read(r.big(1))
}

// cool makes the kernel forget what it has in memory: of everything, if that is wanted and allowed, and else of
// the file.
func (r *run) cool(name string) error {
	if r.drop {
		unix.Sync()
		if os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0) == nil {
			return nil
		}
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
}

// pages writes random pages of the sequential file, and lets each do what else is to be done.
func (r *run) pages(n int, after func(f *os.File) error) error {
	f, err := os.OpenFile(r.big(0), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	p, rng, all := fill(page), rand.New(rand.NewPCG(3, 4)), r.n(bigSize)*mib/page
	err = r.each(n, func(int) error {
		if _, err := f.WriteAt(p, int64(rng.IntN(all))*page); err != nil {
			return err
		}
		return after(f)
	})
	if err == nil {
		// In the time, but not among the writes.
		err = r.time(0, f.Sync)
	}
	return errors.Join(err, f.Close())
}

func randomWriteSync(r *run) error { return r.pages(r.n(400), (*os.File).Sync) }

func randomWrite(r *run) error { return r.pages(r.n(6000), func(*os.File) error { return nil }) }

func appendSync(r *run) error {
	f, err := os.OpenFile(filepath.Join(r.at(0), "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	p := fill(page)
	err = r.each(r.n(400), func(int) error {
		if _, err := f.Write(p); err != nil {
			return err
		}
		return f.Sync()
	})
	return errors.Join(err, f.Close())
}

func randomRead(r *run) error {
	if err := r.cool(r.big(0)); err != nil {
		return err
	}
	f, err := os.Open(r.big(0))
	if err != nil {
		return err
	}
	p, rng, all := make([]byte, page), rand.New(rand.NewPCG(5, 6)), r.n(bigSize)*mib/page
	// Without this the kernel reads ahead where it thinks to see a sequence.
	err = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM)
	if err == nil {
		err = r.each(r.n(3000), func(int) error {
			_, err := f.ReadAt(p, int64(rng.IntN(all))*page)
			return err
		})
	}
	return errors.Join(err, f.Close())
}

// threeWriters has three write a file each, on a mount each if there are so many.
func threeWriters(r *run) error {
	n := r.n(bigSize)
	return r.time(3*n, func() error {
		var wg sync.WaitGroup
		all := make([]error, 3)
		for i := range all {
			wg.Go(func() { all[i] = write(filepath.Join(r.at(i), "writer"+string(rune('1'+i))), n) })
		}
		wg.Wait()
		return errors.Join(all...)
	})
}
