package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dfs/advice"
	"dfs/errs"
)

func testConfig(t *testing.T) Config {
	t.Helper()
	c := Config{
		Cluster: "test", ID: 2, Listen: "127.0.0.1:1", Data: filepath.Join(t.TempDir(), "data"),
		Peers: map[string]string{"1": "127.0.0.1:2", "3": "127.0.0.1:3"},
	}.withDefaults()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

func mustOpen(t *testing.T, c Config) *DataDir {
	t.Helper()
	d, err := OpenDataDir(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// ND3: incarnations grow with every start, also when the process of one was killed, when the clock went back, and when
// the data directory was lost.
func TestIncarnationGrows(t *testing.T) {
	c := testConfig(t)
	last := uint32(0)
	for range 4 {
		d := mustOpen(t, c)
		if d.Incarnation <= last || d.Shards != DefaultShards {
			t.Errorf("ND3: incarnation %d after %d, %d shards", d.Incarnation, last, d.Shards)
		}
		last = d.Incarnation
		if err := os.WriteFile(filepath.Join(c.Data, incarnationName+".tmp"), []byte("99"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if next, err := nextIncarnation(c.Data, time.Unix(1000, 0)); err != nil || next != last+1 {
		t.Errorf("ND3: the clock went back: incarnation %d after %d, %v", next, last, err)
	}
	if next, err := nextIncarnation(t.TempDir(), time.Now().Add(10*time.Second)); err != nil || next <= last {
		t.Errorf("ND3: the directory was lost: incarnation %d after %d, %v", next, last, err)
	}
	for _, odd := range []time.Time{{}, time.Unix(1<<40, 0), time.Unix(-5, 0)} {
		if next, err := nextIncarnation(t.TempDir(), odd); err != nil || next == 0 {
			t.Errorf("ND3: at %v: incarnation %d, %v", odd, next, err)
		}
	}
}

// ND2: another node, cluster, set of members or number of shards is refused, with the reason and a hint.
func TestDataDirOfOthers(t *testing.T) {
	c := testConfig(t)
	mustOpen(t, c).Close()
	for name, change := range map[string]func(c *Config){
		`belongs to cluster "test"`:     func(c *Config) { c.Cluster = "other" },
		`belongs to node 2`:             func(c *Config) { c.ID = 1; c.Peers = map[string]string{"2": "h:1", "3": "h:2"} },
		`the configuration names [2 3]`: func(c *Config) { c.Peers = map[string]string{"3": "h:2"} },
		`was made with 128 shards`:      func(c *Config) { c.Shards = 5 },
	} {
		other := c
		change(&other)
		d, err := OpenDataDir(other)
		if err == nil {
			d.Close()
		}
		if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), name) || advice.Of(err) == "" {
			t.Errorf("ND2: want %q, got %v, hint %q", name, err, advice.Of(err))
		}
	}
	mustOpen(t, c).Close()
}

// ND2: one process at a time.
func TestDataDirInUse(t *testing.T) {
	c := testConfig(t)
	d := mustOpen(t, c)
	defer d.Close()
	if _, err := OpenDataDir(c); errs.KindOf(err) != errs.Busy || advice.Of(err) == "" {
		t.Errorf("ND2: got %v", err)
	}
}

func TestDamagedDataDir(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		kind       errs.Kind
	}{
		"newer format":        {identityName, "format = 99\nnode = 2\nfuture = true\n", errs.NotSupported},
		"no identity":         {"photo.jpg", "x", errs.NotEmpty},
		"identity is garbage": {identityName, "\x00\xff", errs.Corrupt},
		"identity is empty":   {identityName, "", errs.Corrupt},
		"crash while making":  {identityName + ".tmp", "format = ", errs.OK},
	} {
		config := testConfig(t)
		if err := os.Mkdir(config.Data, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(config.Data, c.file), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := OpenDataDir(config)
		if errs.KindOf(err) != c.kind || (err != nil && advice.Of(err) == "") {
			t.Errorf("%s: got %v (%v), hint %q", name, err, errs.KindOf(err), advice.Of(err))
		}
		if err == nil {
			d.Close()
		}
	}
	config := testConfig(t)
	mustOpen(t, config).Close()
	for _, bad := range []string{"", "x", "-1", "4294967295", "99999999999"} {
		if err := os.WriteFile(filepath.Join(config.Data, incarnationName), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenDataDir(config); errs.KindOf(err) != errs.Corrupt || advice.Of(err) == "" {
			t.Errorf("ND3: incarnation %q: got %v", bad, err)
		}
	}
}

func TestFullDiskIsNamed(t *testing.T) {
	if err := checkRoom(t.TempDir(), 1<<62); errs.KindOf(err) != errs.NoSpace || advice.Of(err) == "" {
		t.Errorf("a small disk: %v, hint %q", err, advice.Of(err))
	}
	if err := checkRoom(t.TempDir(), 0); err != nil {
		t.Error(err)
	}
	err := adviseDisk(errs.Wrap(errs.IO, errs.New(errs.NoSpace, "no space left on device"), "write"), "/data")
	if errs.KindOf(err) != errs.NoSpace || !strings.Contains(advice.Of(err), "df -h /data") {
		t.Errorf("got %v (%v), hint %q", err, errs.KindOf(err), advice.Of(err))
	}
}
