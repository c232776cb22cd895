//go:build !(linux && amd64)

package nvm

import (
	"errors"
	"os"
	"runtime"
)

func mapSync(*os.File, int, bool) ([]byte, error) { return nil, errors.ErrUnsupported }

func findFlusher() (flusher, string) { return nil, "no DAX on " + runtime.GOARCH }
