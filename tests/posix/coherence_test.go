package posix

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var coherenceFlag = flag.Int("coherence", 2_000, "changes that are looked for at another mount")

// What one mount was told is seen by the next call at another, which has the state before in its caches.
func TestCoherence(t *testing.T) {
	w := newWorld(t, true)
	var dirs []string
	for n := range mounts {
		dirs = append(dirs, filepath.Join(cluster.mount(n), w.dir))
	}
	began := time.Now()
	got := w.at(0, root).call(0, request{Op: "coherence", Path: strings.Join(dirs, "\n"), A: int64(*coherenceFlag)})
	if len(got.Data) > 0 {
		t.Fatal(string(got.Data))
	}
	t.Logf("%d changes, each seen at once at another mount, in %v", *coherenceFlag, time.Since(began).Round(time.Millisecond))
}

// seeker looks at one mount for what another was told.
type seeker struct {
	from, to string // the directory at each
	name     string
	text     []byte
	cached   *os.File // open at the mount that looks, with pages in its cache
	round    int
}

// checks are pairs of a change and what must be seen of it, in an order in which each can be made.
var checks = []struct {
	what   string
	change func(s *seeker) error
	seen   func(s *seeker) error
}{
	{"create, by stat", func(s *seeker) error { return os.WriteFile(s.at(s.from), nil, 0o644) }, (*seeker).exists},
	{"write and close, by read", (*seeker).rewrite, (*seeker).reads},
	{"write and close, by read through an open file", (*seeker).rewrite, (*seeker).readsCached},
	{"write and close, by stat", func(s *seeker) error {
		s.text = append(s.text, 'x')
		return os.WriteFile(s.at(s.from), s.text, 0)
	}, func(s *seeker) error {
		st, err := os.Stat(s.at(s.to))
		if err == nil && st.Size() != int64(len(s.text)) {
			err = fmt.Errorf("size %d, want %d", st.Size(), len(s.text))
		}
		return err
	}},
	{"chmod, by stat", func(s *seeker) error { return unix.Chmod(s.at(s.from), uint32(0o600+s.round%64)) }, func(s *seeker) error {
		st, err := os.Stat(s.at(s.to))
		if err == nil && int(st.Mode()) != 0o600+s.round%64 {
			err = fmt.Errorf("mode %o", st.Mode())
		}
		return err
	}},
	{"setxattr, by getxattr", func(s *seeker) error {
		return unix.Setxattr(s.at(s.from), "user.round", fmt.Append(nil, s.round), 0)
	}, func(s *seeker) error {
		buf := make([]byte, 100)
		n, err := unix.Getxattr(s.at(s.to), "user.round", buf)
		if err == nil && string(buf[:n]) != fmt.Sprint(s.round) {
			err = fmt.Errorf("value %q", buf[:n])
		}
		return err
	}},
	{"truncate, by read", func(s *seeker) error { s.text = s.text[:3]; return os.Truncate(s.at(s.from), 3) }, (*seeker).reads},
	{"rename, by open of the new name", func(s *seeker) error { return os.Rename(s.at(s.from), s.at(s.from)+"2") }, func(s *seeker) error {
		f, err := os.Open(s.at(s.to) + "2")
		if err == nil {
			err = f.Close()
		}
		return err
	}},
	{"rename, by stat of the old name", func(s *seeker) error { return os.Rename(s.at(s.from)+"2", s.at(s.from)+"3") }, func(s *seeker) error {
		if _, err := os.Stat(s.at(s.to) + "2"); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("the old name: %v", err)
		}
		return nil
	}},
	{"unlink, by readdir", func(s *seeker) error { return os.Remove(s.at(s.from) + "3") }, func(s *seeker) error { return s.listed(s.name+"3", false) }},
	{"mkdir, by readdir", func(s *seeker) error { return os.Mkdir(s.at(s.from), 0o755) }, func(s *seeker) error { return s.listed(s.name, true) }},
	{"create below, by stat", func(s *seeker) error { return os.WriteFile(filepath.Join(s.at(s.from), "f"), nil, 0o644) }, func(s *seeker) error {
		_, err := os.Stat(filepath.Join(s.at(s.to), "f"))
		return err
	}},
	{"removal of a tree, by stat", func(s *seeker) error { return os.RemoveAll(s.at(s.from)) }, func(s *seeker) error {
		if _, err := os.Stat(filepath.Join(s.at(s.to), "f")); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("what was below: %v", err)
		}
		return nil
	}},
}

func (s *seeker) at(dir string) string { return filepath.Join(dir, s.name) }

func (s *seeker) exists() error { _, err := os.Stat(s.at(s.to)); return err }

// rewrite replaces the contents by others of the same length, so that the size tells nothing.
func (s *seeker) rewrite() error {
	s.text = fmt.Appendf(nil, "contents of round %08d", s.round)
	s.round++
	f, err := os.OpenFile(s.at(s.from), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(s.text, 0)
	return errors.Join(err, f.Close())
}

func (s *seeker) reads() error {
	got, err := os.ReadFile(s.at(s.to))
	if err == nil && !bytes.Equal(got, s.text) {
		err = fmt.Errorf("%q, want %q", got, s.text)
	}
	return err
}

func (s *seeker) readsCached() error {
	got := make([]byte, len(s.text))
	_, err := s.cached.ReadAt(got, 0)
	if err == nil && !bytes.Equal(got, s.text) {
		err = fmt.Errorf("%q, want %q", got, s.text)
	}
	return err
}

func (s *seeker) listed(name string, want bool) error {
	entries, err := os.ReadDir(s.to)
	has := slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == name })
	if err == nil && has != want {
		err = fmt.Errorf("listed: %v", has)
	}
	return err
}

// coherence makes changes at one mount and looks for them at another, changes in all.
func coherence(dirs []string, changes int) error {
	for round := 0; changes > 0; round++ {
		s := &seeker{from: dirs[round%mounts], to: dirs[(round+1+round/mounts%2)%mounts], name: fmt.Sprint("n", round%7), round: 10 * round}
		for _, c := range checks {
			if err := c.change(s); err != nil {
				return fmt.Errorf("%s: the change in round %d: %w", c.what, round, err)
			}
			if err := c.seen(s); err != nil {
				return fmt.Errorf("%s: in round %d: %w", c.what, round, err)
			}
			changes--
			switch c.what {
			case "write and close, by read":
				var err error
				if s.cached, err = os.Open(s.at(s.to)); err != nil {
					return err
				}
				if err := s.readsCached(); err != nil {
					return fmt.Errorf("an open file: %w", err)
				}
			case "unlink, by readdir":
				s.cached.Close()
			}
		}
	}
	return nil
}
