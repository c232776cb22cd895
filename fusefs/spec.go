package fusefs

import (
	"strings"
	"time"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
)

// Spec is a parsed SPEC: what stands behind "@t=" in a name. Exactly one of the three is meant.
type Spec struct {
	At       hlc.Timestamp // a moment, if neither of the others is set
	Back     time.Duration // so long before now, if positive
	Version  ids.Version   // a place in the order, if not 0
	relative bool
}

// Relative says whether the moment depends on when it is asked for.
func (s Spec) Relative() bool { return s.relative }

const specForms = "use a time like 2026-11-22, 2026-11-22T10:42 or 2026-11-22T10:42:07.5Z, unix seconds, " +
	"a span before now like -90s, -10m, -2h, -3d, -1w or -1h30m, or v=VIEW.SEQ"

// ParseSpec reads a SPEC. Times without a zone are in the zone given. Its errors are of kind Invalid and say
// which forms there are.
func ParseSpec(text string, zone *time.Location) (Spec, error) {
	var s Spec
	var why string
	switch {
	case text == "":
		why = "is empty"
	case text[0] == '-':
		s.relative = true
		s.Back, why = parseSpan(text[1:])
	case strings.HasPrefix(text, "v="):
		v, err := ids.ParseVersion(text[2:])
		if s.Version = v; err != nil || v == 0 {
			why = "names no version"
		}
	case len(text) > 4 && text[4] == '-':
		s.At, why = parseDate(text, zone)
	default:
		s.At, why = parseUnix(text)
	}
	if why != "" {
		return Spec{}, errs.New(errs.Invalid, "%q %s; %s", text, why, specForms)
	}
	return s, nil
}

// units of a span, in the order in which they must stand.
var units = []struct {
	suffix string
	length time.Duration
}{
	{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond},
}

const maxSpan = time.Duration(1<<63 - 1)

// parseSpan reads 1h30m. A day is 24 hours, whatever the clocks of the zone did meanwhile.
func parseSpan(text string) (span time.Duration, why string) {
	next := 0
	for text != "" {
		n, rest, ok := digits(text, 18)
		if !ok {
			return 0, "needs a number and a unit"
		}
		letters := 0
		for letters < len(rest) && (rest[letters] < '0' || rest[letters] > '9') {
			letters++
		}
		unit := rest[:letters]
		text = rest[letters:]
		i := next
		for i < len(units) && units[i].suffix != unit {
			i++
		}
		if i == len(units) {
			return 0, "has a unit that is unknown or in the wrong order"
		}
		next = i + 1
		if n > int64((maxSpan-span)/units[i].length) {
			return 0, "is too long ago"
		}
		span += time.Duration(n) * units[i].length
	}
	if next == 0 {
		return 0, "needs a number and a unit"
	}
	return span, ""
}

// parseUnix reads seconds since the epoch with an optional fraction.
func parseUnix(text string) (at hlc.Timestamp, why string) {
	sec, rest, ok := digits(text, 10)
	if !ok || sec > int64(hlc.Latest)/1e9-1 {
		return 0, "is no time"
	}
	nanos, rest, ok := fraction(rest)
	if !ok || rest != "" {
		return 0, "is no time"
	}
	return hlc.Timestamp(sec*1e9 + nanos), ""
}

// parseDate reads RFC 3339 in full or shortened.
func parseDate(text string, zone *time.Location) (at hlc.Timestamp, why string) {
	const notDate = "is no date"
	var part [6]int64 // year, month, day, hour, minute, second
	rest := text
	part[1], part[2] = 1, 1
	for i, sep := range []byte{0, '-', '-'} {
		ok := sep == 0 || strings.HasPrefix(rest, string(sep))
		if ok && sep != 0 {
			rest = rest[1:]
		}
		width := 2
		if i == 0 {
			width = 4
		}
		if !ok || len(rest) < width {
			return 0, notDate
		}
		n, after, fine := digits(rest[:width], width)
		if !fine || after != "" {
			return 0, notDate
		}
		part[i], rest = n, rest[width:]
	}
	var nanos int64
	if rest != "" && (rest[0] == 'T' || rest[0] == 't') {
		var ok bool
		if nanos, rest, ok = parseClock(rest[1:], part[3:]); !ok {
			return 0, "has no valid time of day"
		}
	}
	if rest != "" {
		fixed, ok := parseZone(rest)
		if !ok {
			return 0, "has no valid zone"
		}
		zone = fixed
	}
	t := time.Date(int(part[0]), time.Month(part[1]), int(part[2]), int(part[3]), int(part[4]), int(part[5]), int(nanos), zone)
	if part[1] < 1 || part[1] > 12 || part[2] < 1 || part[2] > daysIn(part[0], part[1]) {
		return 0, notDate
	}
	if t.Year() < 1970-1 || t.Year() > 2261 {
		return 0, "is out of the range of years"
	}
	return hlc.FromTime(t), ""
}

func daysIn(year, month int64) int64 {
	return int64(time.Date(int(year), time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day())
}

// parseClock reads 10, 10:42, 10:42:07 or 10:42:07.25 into hour, minute and second.
func parseClock(text string, part []int64) (nanos int64, rest string, ok bool) {
	limit := [3]int64{23, 59, 59}
	for i := range limit {
		if i > 0 {
			if !strings.HasPrefix(text, ":") {
				return 0, text, true
			}
			text = text[1:]
		}
		if len(text) < 2 {
			return 0, text, false
		}
		n, after, fine := digits(text[:2], 2)
		if !fine || after != "" || n > limit[i] {
			return 0, text, false
		}
		part[i], text = n, text[2:]
	}
	return fraction(text)
}

// parseZone reads Z or +01:00.
func parseZone(text string) (*time.Location, bool) {
	if text == "Z" || text == "z" {
		return time.UTC, true
	}
	if len(text) != 6 || text[3] != ':' || text[0] != '+' && text[0] != '-' {
		return nil, false
	}
	h, restH, okH := digits(text[1:3], 2)
	m, restM, okM := digits(text[4:], 2)
	if !okH || !okM || restH != "" || restM != "" || h > 23 || m > 59 {
		return nil, false
	}
	offset := int(h*3600 + m*60)
	if text[0] == '-' {
		offset = -offset
	}
	return time.FixedZone("", offset), true
}

// digits reads the leading decimal digits, from one to most of them.
func digits(text string, most int) (n int64, rest string, ok bool) {
	i := 0
	for i < len(text) && text[i] >= '0' && text[i] <= '9' {
		if i == most {
			return 0, text, false
		}
		n = n*10 + int64(text[i]-'0')
		i++
	}
	return n, text[i:], i > 0
}

// fraction reads an optional .5 as nanoseconds, up to nine digits.
func fraction(text string) (nanos int64, rest string, ok bool) {
	if !strings.HasPrefix(text, ".") {
		return 0, text, true
	}
	n, rest, ok := digits(text[1:], 9)
	if !ok {
		return 0, text, false
	}
	for i := len(text) - 1 - len(rest); i < 9; i++ {
		n *= 10
	}
	return n, rest, true
}
