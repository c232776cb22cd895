package advice

import (
	"fmt"
	"io"
	"testing"

	"dfs/errs"
)

// A1, A2: the outermost hint is found through wrapping, and nothing else changes.
func TestHints(t *testing.T) {
	inner := Add(errs.Wrap(errs.NoSpace, io.ErrShortWrite, "append"), "df -h %s", "/data")
	outer := fmt.Errorf("start: %w", inner)
	if Of(outer) != "df -h /data" || outer.Error() != "start: append: short write" || errs.KindOf(outer) != errs.NoSpace {
		t.Errorf("got %q, hint %q, kind %v", outer, Of(outer), errs.KindOf(outer))
	}
	if again := Add(outer, "dfs status"); Of(again) != "dfs status" {
		t.Errorf("A1: hint %q", Of(again))
	}
	if Of(io.EOF) != "" || Of(nil) != "" || Add(nil, "x") != nil {
		t.Error("a hint out of nothing")
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{"/mnt/dfs": "/mnt/dfs", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "a/b c/b": "'a/b c/b'", "/x y/": "'/x y/'"} {
		if got := Quote(in); got != want {
			t.Errorf("Quote(%q) = %s, want %s", in, got, want)
		}
	}
}
