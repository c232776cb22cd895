package posix

import (
	"os"
	"strings"
	"testing"
)

// exclusions is how many there are. Only ever lower it.
const exclusions = 16

// PX3: what is excluded has a reason, and the list does not grow.
func TestExclusionsOnlyShrink(t *testing.T) {
	text, err := os.ReadFile("exclusions.txt")
	if err != nil {
		t.Fatal(err)
	}
	count, seen := 0, map[string]bool{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		what, reason, ok := strings.Cut(line, ": ")
		if !ok || len(reason) < 10 || seen[what] {
			t.Errorf("PX3: %q needs a name of its own, a colon and a reason", line)
		}
		seen[what] = true
		count++
	}
	if count != exclusions {
		t.Errorf("PX3: %d exclusions, the constant says %d; it may only get lower", count, exclusions)
	}
}
