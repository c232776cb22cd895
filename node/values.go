package node

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"dfs/advice"
	"dfs/errs"

	"github.com/pelletier/go-toml/v2"
)

// Duration is a time.Duration that TOML writes as "500ms".
type Duration time.Duration

// UnmarshalText reads the form that time.ParseDuration knows.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return errs.New(errs.Invalid, "%q is not a time such as 500ms", text)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Size is a number of bytes that TOML writes as "384MiB".
type Size int64

var units = []struct {
	name  string
	bytes int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"B", 1}}

// UnmarshalText reads a whole number with a unit, or bytes without one.
func (s *Size) UnmarshalText(text []byte) error {
	number, factor := string(text), int64(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(number, u.name); ok {
			number, factor = strings.TrimSpace(n), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/factor {
		return errs.New(errs.Invalid, "%q is not a size such as 384MiB", text)
	}
	*s = Size(n * factor)
	return nil
}

// MarshalText writes it.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String prints the largest unit that loses nothing.
func (s Size) String() string {
	for i := 3; i >= 0; i-- {
		if u := units[i]; s != 0 && int64(s)%u.bytes == 0 {
			return fmt.Sprintf("%d%s", int64(s)/u.bytes, u.name)
		}
	}
	return fmt.Sprintf("%dB", int64(s))
}

// maxConfig is the longest configuration file.
const maxConfig = 1 << 20

// ReadConfig reads a configuration file. Unknown keys are errors, with their place in the file.
func ReadConfig(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, advice.Add(errs.New(errs.NotFound, "configuration file %s does not exist", path), "dfs node --help   (shows a complete configuration)")
	}
	if err != nil {
		return Config{}, errs.Wrap(errs.IO, err, "read the configuration")
	}
	c, err := ParseConfig(text)
	if err != nil {
		return Config{}, adviseConfig(errs.Wrap(errs.Invalid, err, "%s", path))
	}
	return c, nil
}

// ParseConfig decodes a configuration; defaults are not yet set.
func ParseConfig(text []byte) (Config, error) {
	if len(text) > maxConfig {
		return Config{}, errs.New(errs.TooLarge, "longer than %d bytes", maxConfig)
	}
	var c Config
	err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&c)
	var unknown *toml.StrictMissingError
	var broken *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		var found Mistakes
		for _, e := range unknown.Errors {
			line, _ := e.Position()
			found = append(found, fmt.Sprintf("line %d: there is no setting %q", line, strings.Join(e.Key(), ".")))
		}
		return Config{}, found
	case errors.As(err, &broken):
		line, column := broken.Position()
		return Config{}, errs.Wrap(errs.Invalid, broken, "line %d, column %d", line, column)
	case err != nil:
		return Config{}, errs.Wrap(errs.Invalid, err, "not TOML")
	}
	return c, nil
}

// Encode writes the configuration as a file holds it.
func (c Config) Encode() ([]byte, error) {
	var b bytes.Buffer
	if err := toml.NewEncoder(&b).SetTablesInline(false).Encode(c); err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "encode configuration")
	}
	return b.Bytes(), nil
}
