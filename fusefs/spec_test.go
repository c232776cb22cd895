package fusefs

import (
	"strings"
	"testing"
	"time"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
)

func berlin(t testing.TB) *time.Location {
	t.Helper()
	return time.FixedZone("here", 3600)
}

func TestParseSpec(t *testing.T) {
	utc := func(text string) hlc.Timestamp {
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return hlc.FromTime(at)
	}
	moments := map[string]string{
		"2026-11-22":                         "2026-11-21T23:00:00Z",
		"2026-11-22Z":                        "2026-11-22T00:00:00Z",
		"2026-11-22T10":                      "2026-11-22T09:00:00Z",
		"2026-11-22t10:42":                   "2026-11-22T09:42:00Z",
		"2026-11-22T10:42:05":                "2026-11-22T09:42:05Z",
		"2026-11-22T10:42:05.25":             "2026-11-22T09:42:05.25Z",
		"2026-11-22T10:42:05.123456789Z":     "2026-11-22T10:42:05.123456789Z",
		"2026-11-22T10:42z":                  "2026-11-22T10:42:00Z",
		"2026-11-22T10+02:00":                "2026-11-22T08:00:00Z",
		"2026-11-22T10:42:05-05:30":          "2026-11-22T16:12:05Z",
		"2024-02-29":                         "2024-02-28T23:00:00Z",
		"1970-01-01T00:00:00.000000001Z":     "1970-01-01T00:00:00.000000001Z",
		"1763802000":                         "2025-11-22T09:00:00Z",
		"1763802000.5":                       "2025-11-22T09:00:00.5Z",
		"1763802000.000000001":               "2025-11-22T09:00:00.000000001Z",
		"0":                                  "1970-01-01T00:00:00Z",
		"2261-12-31T23:59:59.999999999+00:0": "",
	}
	for text, want := range moments {
		s, err := ParseSpec(text, berlin(t))
		switch {
		case want == "":
			if err == nil {
				t.Errorf("%q: %v, want an error", text, s)
			}
		case err != nil || s.At != utc(want) || s.Relative() || s.Version != 0:
			t.Errorf("%q: %v, %v; want %s", text, s.At, err, want)
		}
	}
	spans := map[string]time.Duration{
		"-90s": 90 * time.Second, "-10m": 10 * time.Minute, "-2h": 2 * time.Hour, "-3d": 72 * time.Hour, "-1w": 168 * time.Hour,
		"-1h30m": 90 * time.Minute, "-1w2d3h4m5s6ms": 168*time.Hour + 51*time.Hour + 4*time.Minute + 5*time.Second + 6*time.Millisecond,
		"-0s": 0, "-250ms": 250 * time.Millisecond,
	}
	for text, want := range spans {
		s, err := ParseSpec(text, time.UTC)
		if err != nil || s.Back != want || !s.Relative() {
			t.Errorf("%q: %v, %v; want %v", text, s.Back, err, want)
		}
	}
	if s, err := ParseSpec("v=3.1042", time.UTC); err != nil || s.Version != ids.MakeVersion(3, 1042) {
		t.Errorf("v=3.1042: %v, %v", s, err)
	}
}

func TestParseSpecRefuses(t *testing.T) {
	for _, text := range []string{
		"", "-", "-1", "-m", "-1x", "-30m1h", "-1h1h", "-1hh", "-99999999999999w", "-9999999999999999999s", "- 1h", "-1h ",
		"v=", "v=1", "v=0.0", "v=1.2.3", "v=99999999999.1", "yesterday", "now", "10:42", "20261122x", "99999999999",
		"1.", "1.x", "1.0123456789", "1e9", "+5", "2026-13-01", "2026-00-10", "2026-02-29", "2026-11-31", "2026-11-22T24",
		"2026-11-22T10:60", "2026-11-22T10:42:60", "2026-11-22T", "2026-11-22T1", "2026-11-22T10:4", "2026-11-22T10:42:05.",
		"2026-11-22 10:42", "2026-11-22T10:42:05+1", "2026-11-22T10:42:05+01:60", "2026-11-22T10:42:05Zx", "2026-1-2", "0001-01-01",
		"9999-01-01", "2026-11", "2026-11-2x",
	} {
		s, err := ParseSpec(text, time.UTC)
		if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "2026-11-22T10:42") {
			t.Errorf("%q: %+v, %v; want an error that lists the forms", text, s, err)
		}
	}
}

func TestPastNames(t *testing.T) {
	at := func(text string) hlc.Timestamp { s, _ := ParseSpec(text, time.UTC); return s.At }
	for _, c := range []struct {
		name, base string
		asks, bad  bool
		at         hlc.Timestamp
	}{
		{name: "plain"},
		{name: "user@host"},
		{name: "@t=2026-11-22", asks: true, at: at("2026-11-22")},
		{name: "plan.md@t=2026-11-22", base: "plan.md", asks: true, at: at("2026-11-22")},
		{name: "a@t=b@t=2026-11-22", base: "a@t=b", asks: true, at: at("2026-11-22")},
		{name: "a@t=soon", base: "a", asks: true, bad: true},
		{name: "@GMT-2026.11.22-10.42.05", asks: true, at: at("2026-11-22T10:42:05")},
		{name: "@GMT-2026.11.22", asks: false},
		{name: "@GMT-2026.11.22-10.42.5", asks: false},
	} {
		p, asks, err := parsePastName(c.name, time.UTC)
		if asks != c.asks || (err != nil) != c.bad || err == nil && (p.base != c.base || p.spec.At != c.at) {
			t.Errorf("%q: %+v asks=%v err=%v", c.name, p, asks, err)
		}
	}
	if p, _, err := parsePastName("@v=2.7", time.UTC); err != nil || p.spec.Version != ids.MakeVersion(2, 7) || p.base != "" {
		t.Errorf("@v=2.7: %+v, %v", p, err)
	}
	for name, want := range map[string]bool{"@history": true, "@snapshots": true, "@t=": true, "@v=1.1": true, "@history2": false, "x@t=1": false, "@GMT-2026.11.22-10.42.05": false} {
		if reserved(name) != want {
			t.Errorf("reserved(%q) = %v", name, !want)
		}
	}
}

func TestVersionNames(t *testing.T) {
	last := ""
	for _, at := range []hlc.Timestamp{1, 999_999_999, 1_000_000_000, 1763802000_000000007, 1763802000_100000000} {
		name := formatVersion(at)
		if back, err := parseVersionName(name); err != nil || back != at || name <= last {
			t.Errorf("%d: %q, %d, %v", at, name, back, err)
		}
		last = name
	}
	for _, bad := range []string{"", "x", "2026-11-22T10:42:05Z", "2026-11-22T10:42:05.5Z", "2026-02-30T10:42:05.000000000Z"} {
		if at, err := parseVersionName(bad); errs.KindOf(err) != errs.NotFound {
			t.Errorf("%q: %v, %v", bad, at, err)
		}
	}
}

func FuzzParseSpec(f *testing.F) {
	for _, s := range []string{"2026-11-22T10:42:05.5+01:00", "-1w2d3h4m5s6ms", "1763802000.5", "v=3.1042", "@GMT-2026.11.22-10.42.05"} {
		f.Add(s)
	}
	zone := berlin(f)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSpec(text, zone)
		if err == nil && (s.Back < 0 || s.Relative() != (text[0] == '-') || s.Version != 0 && s.At != 0) {
			t.Errorf("%q: %+v", text, s)
		}
		// What is printed in full must come back as the same moment.
		if err == nil && s.At > 0 {
			if again, err := ParseSpec(formatVersion(s.At), zone); err != nil || again.At != s.At {
				t.Errorf("%q: %v came back as %v, %v", text, s.At, again.At, err)
			}
		}
		_, _, _ = parsePastName(text, zone)
		_, _ = parseVersionName(text)
	})
}
