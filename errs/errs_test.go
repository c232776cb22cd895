package errs

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestKindOf(t *testing.T) {
	err := fmt.Errorf("outer: %w", Wrap(NoSpace, io.ErrShortWrite, "append to %s", "log"))
	if KindOf(err) != NoSpace || !errors.Is(err, NoSpace) || !errors.Is(err, io.ErrShortWrite) {
		t.Fatalf("lost its kind or cause: %v", err)
	}
	if got := err.Error(); got != "outer: append to log: short write" {
		t.Fatalf("text %q", got)
	}
	if KindOf(nil) != OK || KindOf(io.EOF) != IO {
		t.Fatal("E2: nil is OK and a foreign error is IO")
	}
}

// E1: numbers are on disk. This table is written out on purpose: it must be edited by hand.
func TestNumbersAreFixed(t *testing.T) {
	fixed := map[Kind]uint16{NotFound: 2, Exists: 3, NotEmpty: 6, ReadOnly: 8, NoSpace: 13, Corrupt: 23, BeforeBeginning: 26, NoLocks: 29}
	for k, n := range fixed {
		if uint16(k) != n {
			t.Errorf("%v has number %d, want %d", k, uint16(k), n)
		}
	}
	for _, k := range Kinds() {
		if k.Error() == "" {
			t.Errorf("kind %d has no name", uint16(k))
		}
	}
}
