package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

const (
	smallFiles = 1000
	smallDirs  = 20
)

// small is the name of small file i of a set.
func (r *run) small(mount int, set string, i int) string {
	return filepath.Join(r.at(mount), set, fmt.Sprintf("d%02d", i%smallDirs), fmt.Sprintf("file%05d", i))
}

func (r *run) smallDirs(set string) error {
	for i := range smallDirs {
		if err := os.MkdirAll(filepath.Dir(r.small(0, set, i)), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// put makes a file, or empties the one that is there, and writes p into it.
func put(name string, p []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(p)
	return errors.Join(err, f.Close())
}

func createOne(r *run) error {
	if err := r.smallDirs("small"); err != nil {
		return err
	}
	p := fill(page)
	return r.each(r.n(smallFiles), func(i int) error { return put(r.small(0, "small", i), p) })
}

func createFour(r *run) error {
	const threads = 4
	p, each, sets := fill(page), r.n(smallFiles/2), make([]*run, threads)
	for k := range sets {
		sets[k] = &run{place: r.place, scale: r.scale}
		if err := r.smallDirs(fmt.Sprint("small", k)); err != nil {
			return err
		}
	}
	return r.time(threads*each, func() error {
		var wg sync.WaitGroup
		all := make([]error, threads)
		for k, s := range sets {
			wg.Go(func() {
				all[k] = s.each(each, func(i int) error { return put(s.small(0, fmt.Sprint("small", k), i), p) })
			})
		}
		wg.Wait()
		for _, s := range sets {
			r.latency.Merge(&s.latency)
		}
		return errors.Join(all...)
	})
}

func statAll(r *run) error {
	return r.each(r.n(smallFiles), func(i int) error {
		_, err := os.Lstat(r.small(0, "small", i))
		return err
	})
}

func (r *run) readAll(mount int) error {
	p := make([]byte, 2*page)
	return r.each(r.n(smallFiles), func(i int) error {
		f, err := os.Open(r.small(mount, "small", i))
		if err != nil {
			return err
		}
		n, err := f.Read(p)
		if err == nil && n != page {
			err = fmt.Errorf("%s has %d bytes, not %d", f.Name(), n, page)
		}
		return errors.Join(err, f.Close())
	})
}

func readSmall(r *run) error { return r.readAll(0) }

func readSmallOther(r *run) error { return r.readAll(1) }

func renameAll(r *run) error {
	return r.each(r.n(smallFiles), func(i int) error {
		name := r.small(0, "small", i)
		return os.Rename(name, name+".new")
	})
}

func unlinkAll(r *run) error {
	return r.each(r.n(smallFiles), func(i int) error { return os.Remove(r.small(0, "small", i) + ".new") })
}

func mkdirAll(r *run) error {
	return r.each(r.n(smallFiles), func(i int) error {
		return os.Mkdir(filepath.Join(r.at(0), fmt.Sprintf("dir%05d", i)), 0o700)
	})
}

func rewrite(r *run) error {
	p, name := fill(page), filepath.Join(r.at(0), "rewritten")
	return r.each(r.n(smallFiles), func(int) error { return put(name, p) })
}
