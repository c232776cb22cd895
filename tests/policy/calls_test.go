package policy

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// eachSource calls fn for every Go file of the tree.
func eachSource(t *testing.T, fn func(s *source)) {
	t.Helper()
	for _, p := range packages(t) {
		for _, s := range sources(t, p) {
			fn(s)
		}
	}
}

// P5: a test that sleeps is slow when it passes and flaky when it fails.
func TestTestsDoNotSleep(t *testing.T) {
	eachSource(t, func(s *source) {
		if !s.test && !strings.HasPrefix(s.path, "tests/") {
			return
		}
		s.uses("time", func(sel *ast.SelectorExpr) {
			if sel.Sel.Name == "Sleep" {
				t.Errorf("P5: %s sleeps: wait for an event with a deadline", s.at(sel))
			}
		})
	})
}

// P5: errors have kinds; their text is for people.
func TestNobodyDecidesOnErrorText(t *testing.T) {
	eachSource(t, func(s *source) {
		if s.test {
			return // a test may check what a user reads
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if (n.Op == token.EQL || n.Op == token.NEQ) && (isErrorText(n.X) || isErrorText(n.Y)) {
					t.Errorf("P5: %s compares the text of an error", s.at(n))
				}
			case *ast.CallExpr:
				sel, ok := n.Fun.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				id, ok := sel.X.(*ast.Ident)
				if ok && (id.Name == "strings" || id.Name == "regexp") && slices.ContainsFunc(n.Args, isErrorText) {
					t.Errorf("P5: %s searches the text of an error", s.at(n))
				}
			case *ast.SwitchStmt:
				if n.Tag != nil && isErrorText(n.Tag) {
					t.Errorf("P5: %s switches on the text of an error", s.at(n))
				}
			}
			return true
		})
	})
}

// isErrorText recognises x.Error().
func isErrorText(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok || len(call.Args) != 0 {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "Error"
}

// P5: a library returns its errors; the command line decides what becomes of the process.
func TestOnlyTheCommandLineEndsTheProcess(t *testing.T) {
	eachSource(t, func(s *source) {
		if strings.HasPrefix(s.path, "cmd/") {
			return
		}
		s.uses("log", func(sel *ast.SelectorExpr) {
			t.Errorf("P5: %s uses package log (%s): log through the slog.Logger you were given", s.at(sel), sel.Sel.Name)
		})
		if s.test {
			return // TestMain ends its process
		}
		s.uses("os", func(sel *ast.SelectorExpr) {
			if sel.Sel.Name == "Exit" {
				t.Errorf("P5: %s calls os.Exit", s.at(sel))
			}
		})
		for _, name := range []string{"Print", "Println", "Printf"} {
			s.uses("fmt", func(sel *ast.SelectorExpr) {
				if sel.Sel.Name == name {
					t.Errorf("P5: %s prints to the standard output", s.at(sel))
				}
			})
		}
	})
}

// tricks says which packages may touch memory behind the compiler's back, or call the kernel directly.
var tricks = map[string][]string{
	"unsafe":  {"fabric", "fabric/tcp", "fabric/verbs", "nvm", "sst", "fusefs"},
	"syscall": {"fabric/tcp", "fabric/verbs", "nvm", "fusefs", "node", "devcluster", "control", "cmd/dfs"},
}

// P5: unsafe and system calls have their places.
func TestMemoryTricksHaveTheirPlaces(t *testing.T) {
	eachSource(t, func(s *source) {
		for path, places := range tricks {
			if !s.test && !strings.HasPrefix(s.path, "tests/") && s.imported(path) != "" && !slices.Contains(places, s.pkg.short()) {
				t.Errorf("P5: %s imports %s", s.path, path)
			}
		}
	})
}
