package main

import (
	"runtime"
	"runtime/debug"

	"dfs/control"
	"dfs/node"

	"github.com/spf13/cobra"
)

// revision is set by the build (see Makefile).
var revision string

// programVersion names the source that this program was built from.
func programVersion() string {
	if revision != "" {
		return revision
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value[:min(12, len(s.Value))]
			}
		}
	}
	return "unknown"
}

func newVersion(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print which dfs this is",
		Long:    "Print the source revision, the newest data format that this program knows, and the protocol of its tools.",
		Example: "  dfs version",
		Args:    needArgs(),
		RunE: func(*cobra.Command, []string) error {
			e.print("dfs %s, data format %d, control protocol %d, %s %s/%s\n",
				programVersion(), node.Format, control.Protocol, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}
