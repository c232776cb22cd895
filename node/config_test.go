package node

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"dfs/errs"
	"dfs/ids"
)

const sample = `
cluster = "photos"
id = 1
listen = "10.0.0.1:7940"
data = "/var/lib/dfs"
mount = "/mnt/dfs"
shards = 8
consistency = "strict"
allow_other = false
max_clock_skew = "250ms"
memory = "1GiB"
log_level = "debug"

[peers]
1 = "10.0.0.1:7940"
2 = "10.0.0.2:7940"
10 = "ten.example:7940"
`

func TestParseConfig(t *testing.T) {
	c, err := ParseConfig([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	c = c.withDefaults()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if got := c.Members(); !reflect.DeepEqual(got, []ids.NodeID{1, 2, 10}) {
		t.Errorf("members %v", got)
	}
	if time.Duration(c.MaxSkew) != 250*time.Millisecond || c.Memory != 1<<30 || *c.AllowOther || c.Consistency != Strict {
		t.Errorf("got %+v", c)
	}
	text, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := ParseConfig(text); err != nil || !reflect.DeepEqual(back, c) {
		t.Errorf("came back as %+v, %v\n%s", back, err, text)
	}
}

func TestDefaults(t *testing.T) {
	c := Config{Data: "data"}.withDefaults()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if c.ID != 1 || c.Cluster != "dfs" || !strings.HasPrefix(c.Data, "/") || c.Mount != "" {
		t.Errorf("got %+v", c)
	}
}

// ND1: all mistakes at once, each with its field.
func TestValidateReportsEverything(t *testing.T) {
	c := Config{
		Cluster: "a b", Listen: "7940", Mount: "/mnt/dfs", Data: "/mnt/dfs/data", Shards: -1, Consistency: "maybe",
		MaxSkew: 1, Memory: 1, LogLevel: "loud", Peers: map[string]string{"x": "h:1", "2": "h", "3": "h:0", "4": "7940", "5": ":1"},
	}.withDefaults()
	err := c.Validate()
	var found Mistakes
	if !errors.As(err, &found) || errs.KindOf(err) != errs.Invalid {
		t.Fatalf("got %v", err)
	}
	for _, field := range []string{"cluster:", "id:", "listen:", "mount:", "shards:", "consistency:", "max_clock_skew:", "memory:", "log_level:",
		`peers: "x"`, "peers: node 2", "peers: node 3", "peers: node 4", "peers: node 5"} {
		if !strings.Contains(err.Error(), "\n  "+field) {
			t.Errorf("ND1: nothing about %s in\n%v", field, err)
		}
	}
}

func TestPeersNeedListen(t *testing.T) {
	c := Config{Data: "/d", ID: 1, Peers: map[string]string{"2": "h:1"}}.withDefaults()
	if err := c.Validate(); err == nil || err.Error() != "configuration: listen: a node with peers needs an address to listen on" {
		t.Errorf("got %v", err)
	}
	c.Listen = "h:1"
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "node 2 has the same address as listen") {
		t.Errorf("got %v", err)
	}
}

func TestBadTOML(t *testing.T) {
	for text, want := range map[string]string{
		"id = 1\nmounts = \"/m\"\n[peer]\n2 = \"x\"": "configuration has 2 mistakes:\n  line 2: there is no setting \"mounts\"\n  line 3: there is no setting \"peer\"",
		"id = \n":                    "line 1, column",
		"id = \"one\"":               "line 1, column",
		"memory = \"lots\"":          "line 1, column",
		strings.Repeat("#", 1<<20+1): "longer than",
	} {
		_, err := ParseConfig([]byte(text))
		if err == nil || !strings.HasPrefix(err.Error(), want) || errs.KindOf(err) == errs.IO {
			t.Errorf("%.30q: got %v", text, err)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "17": 17, "5B": 5, "3 KiB": 3 << 10, "384MiB": 384 << 20, "2GiB": 2 << 30, "4194304TiB": 1 << 62} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s = %d, %v", text, s, err)
		}
		var back Size
		if err := back.UnmarshalText([]byte(s.String())); err != nil || back != s {
			t.Errorf("%v came back as %v", s, back)
		}
	}
	for _, bad := range []string{"", "MiB", "-1", "1.5GiB", "1MB", "9999999999GiB"} {
		if err := new(Size).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// ND1: whatever a file says, it is refused or understood, never a panic.
func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("peers.2 = 1\n[peers]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseConfig(text)
		if err != nil {
			return
		}
		if c = c.withDefaults(); c.Validate() == nil && len(c.Members()) != len(c.addresses())+1 {
			t.Errorf("members %v, addresses %v", c.Members(), c.addresses())
		}
	})
}

// Set-user-id bits and devices are honoured only where root says so.
func TestSuidAndDev(t *testing.T) {
	c, err := ParseConfig([]byte(sample + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Suid || c.Dev {
		t.Error("they are honoured unasked")
	}
	c, err = ParseConfig([]byte("suid = true\ndev = true\n" + sample))
	if err != nil || !c.Suid || !c.Dev {
		t.Fatalf("%+v, %v", c, err)
	}
	if err := c.withDefaults().Validate(); (err == nil) != (os.Geteuid() == 0) {
		t.Errorf("user %d: %v", os.Geteuid(), err)
	}
}
