package program

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Path returns the program that DFS_BINARY names, or builds one in dir (TP1).
func Path(dir string) (string, error) {
	if path := os.Getenv("DFS_BINARY"); path != "" {
		return path, nil
	}
	path := filepath.Join(dir, "dfs")
	if out, err := exec.Command("go", "build", "-o", path, "dfs/cmd/dfs").CombinedOutput(); err != nil {
		return "", fmt.Errorf("building dfs: %w\n%s", err, out)
	}
	return path, nil
}

// Run calls run with the program's path, and returns what it does: the exit status of a test binary.
func Run(run func(path string) int) int {
	dir, err := os.MkdirTemp("", "dfs")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	path, err := Path(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run(path)
}
