package node

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dfs/advice"
	"dfs/errs"
)

// ND2, ND5: what is refused before the start changes nothing, and comes with a hint.
func TestPreflight(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	cases := map[string]struct {
		change func(c *Config)
		kind   errs.Kind
		text   string
		hint   string
	}{
		"port in use":       {func(c *Config) { c.Listen = taken.Addr().String() }, errs.Busy, "port " + port + " is in use", "ss -ltnp"},
		"not our address":   {func(c *Config) { c.Listen, c.Insecure = "192.0.2.1:7940", true }, errs.Invalid, "is not an address of this machine", "ip -brief address"},
		"unknown host":      {func(c *Config) { c.Listen, c.Insecure = "no-such-host.invalid:7940", true }, errs.NotFound, "listen on", "/etc/hosts"},
		"in the clear":      {func(c *Config) { c.Peers["3"] = "192.0.2.1:7940" }, errs.NotPermitted, "192.0.2.1:7940 is not on this machine", "dfs init"},
		"mistakes":          {func(c *Config) { c.Shards = -1 }, errs.Invalid, "shards: -1", "dfs node --help"},
		"no mount point":    {func(c *Config) { c.Mount = "/nowhere/at/all" }, errs.NotFound, "does not exist", "mkdir -p /nowhere/at/all"},
		"mount is no place": {func(c *Config) { c.Mount = "/etc/passwd" }, errs.NotDirectory, "not a directory", "empty directory"},
	}
	for name, c := range cases {
		if strings.Contains(name, "mount") {
			if _, err := os.Stat(fuseDevice); err != nil {
				continue // a machine without FUSE says that first
			}
		}
		config := testConfig(t)
		c.change(&config)
		l, err := preflight(config)
		if l != nil {
			l.Close()
		}
		if errs.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.text) || !strings.Contains(advice.Of(err), c.hint) {
			t.Errorf("%s: got %v (%v), hint %q", name, err, errs.KindOf(err), advice.Of(err))
		}
		if _, err := os.Stat(filepath.Dir(config.Data) + "/data"); err == nil {
			t.Errorf("ND2: %s: the data directory was made", name)
		}
	}
}
