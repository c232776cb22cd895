package fusefs

import (
	"strings"
	"time"

	"dfs/errs"
	"dfs/hlc"
)

// The names of the past. They are looked up in every live directory and appear in no listing.
const (
	historyName   = "@history"
	snapshotsName = "@snapshots"
	timePrefix    = "@t="
	versionPrefix = "@v="
	gmtPrefix     = "@GMT-"
	gmtLayout     = "2006.01.02-15.04.05"
)

// versionLayout names the versions of a file in @history: RFC 3339 in UTC to the nanosecond, so that two
// versions never share a name and names sort by time.
const versionLayout = "2006-01-02T15:04:05.000000000Z"

// reserved says whether no entry may ever have this name.
func reserved(name string) bool {
	return name == historyName || name == snapshotsName ||
		strings.HasPrefix(name, timePrefix) || strings.HasPrefix(name, versionPrefix)
}

// pastName says what a name asks of the past.
type pastName struct {
	base string // the name before "@t=", or "" if the directory itself is meant
	spec Spec
}

// parsePastName takes a name that may ask for the past. asks is false for ordinary names; err says why a name
// that does ask cannot be answered.
func parsePastName(name string, zone *time.Location) (p pastName, asks bool, err error) {
	if rest, ok := strings.CutPrefix(name, gmtPrefix); ok {
		t, err := time.ParseInLocation(gmtLayout, rest, time.UTC)
		if err != nil || t.Format(gmtLayout) != rest {
			return p, false, nil // somebody's file that only begins alike
		}
		p.spec.At = hlc.FromTime(t)
		return p, true, nil
	}
	i := max(strings.LastIndex(name, timePrefix), strings.LastIndex(name, versionPrefix))
	if i < 0 {
		return p, false, nil
	}
	p.base = name[:i]
	text := name[i+len(timePrefix):]
	if strings.HasPrefix(name[i:], versionPrefix) {
		text = "v=" + text
	}
	p.spec, err = ParseSpec(text, zone)
	return p, true, err
}

// formatVersion returns the name of a version in @history.
func formatVersion(at hlc.Timestamp) string { return at.Time().Format(versionLayout) }

// parseVersionName is the inverse of formatVersion.
func parseVersionName(name string) (hlc.Timestamp, error) {
	t, err := time.ParseInLocation(versionLayout, name, time.UTC)
	if err != nil {
		return 0, errs.Wrap(errs.NotFound, err, "%q is no version", name)
	}
	at := hlc.FromTime(t)
	if formatVersion(at) != name {
		return 0, errs.New(errs.NotFound, "%q is no version", name)
	}
	return at, nil
}
