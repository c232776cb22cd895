package fusefs

import (
	"context"
	"fmt"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"

	"dfs/errs"
)

// U1: every kind is in the table, and what is unknown is an input/output error.
func TestEveryKindHasAnErrno(t *testing.T) {
	for _, k := range errs.Kinds() {
		if e, ok := errnos[k]; !ok || e == 0 {
			t.Errorf("U1: kind %v has no errno", k)
		}
	}
	if len(errnos) != len(errs.Kinds()) {
		t.Errorf("U1: the table has %d entries for %d kinds", len(errnos), len(errs.Kinds()))
	}
	if status(errs.OK) != fuse.OK || status(errs.Kind(60000)) != fuse.EIO {
		t.Error("U1: OK is no error, and an unknown kind is EIO")
	}
	if got := kindOf(fmt.Errorf("waiting: %w", context.Canceled)); got != errs.Interrupted {
		t.Errorf("a cancelled wait is %v", got)
	}
}
