package policy

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// pure lists the cores. Nothing leaves this list.
var pure = []string{"ids", "errs", "hlc", "record", "relay", "sst", "multicast", "views", "namespace", "objects"}

// impure are imports that a core has no use for.
var impure = map[string]string{
	"context": "a core does not wait", "crypto/rand": "random numbers are handed in", "io/fs": "no I/O", "io/ioutil": "no I/O",
	"log": "effects, not talk", "log/slog": "effects, not talk", "math/rand": "random numbers are handed in",
	"math/rand/v2": "random numbers are handed in", "net": "no I/O", "os": "no I/O", "os/exec": "no I/O", "os/signal": "no I/O",
	"path/filepath": "no I/O", "runtime": "a core does not know its host", "sync": "one goroutine owns a core",
	"sync/atomic": "one goroutine owns a core", "syscall": "no I/O", "unsafe": "memory tricks live in fabric and nvm",
	"golang.org/x/sys/unix": "no I/O",
}

// excused are the exceptions, by file.
var excused = map[string]string{
	"sst/mem.go": "sync/atomic", // the words of a row are written by the fabric; this file is where they are read
}

// clock are the parts of package time that read a clock or wait for it; the others are only types.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Local", "LoadLocation"}

// P3: cores do no I/O, read no clock, and have neither goroutines nor locks nor channels.
func TestCoresArePure(t *testing.T) {
	found := 0
	for _, p := range packages(t) {
		if !slices.Contains(pure, p.short()) {
			continue
		}
		found++
		for _, s := range sources(t, p) {
			if s.test {
				continue
			}
			for _, imp := range s.file.Imports {
				path := strings.Trim(imp.Path.Value, `"`)
				if why := impure[path]; why != "" && excused[s.path] != path || strings.HasPrefix(path, "net/") {
					t.Errorf("P3: %s imports %s: %s", s.at(imp), path, why)
				}
			}
			s.uses("time", func(sel *ast.SelectorExpr) {
				if slices.Contains(clock, sel.Sel.Name) {
					t.Errorf("P3: %s uses time.%s: time is an argument", s.at(sel), sel.Sel.Name)
				}
			})
			ast.Inspect(s.file, func(n ast.Node) bool {
				if what := concurrent(n); what != "" {
					t.Errorf("P3: %s has %s: one goroutine owns a core", s.at(n), what)
				}
				return true
			})
		}
	}
	if found != len(pure) {
		t.Errorf("P3: %d of the %d pure packages are there", found, len(pure))
	}
}

// concurrent names what in the node belongs to concurrent programs, or returns "".
func concurrent(n ast.Node) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "a go statement"
	case *ast.SelectStmt:
		return "a select statement"
	case *ast.SendStmt:
		return "a channel send"
	case *ast.ChanType:
		return "a channel type"
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			return "a channel receive"
		}
	}
	return ""
}

// P3: iteration over a map has no order, and a replicated state machine must have one. A range over a map is
// recognised where the map's type is written in the same function or file; it is allowed where the line or
// the line before says why order does not matter ("any order").
func TestStateMachinesDoNotRangeOverMaps(t *testing.T) {
	for _, p := range packages(t) {
		if !slices.Contains(pure, p.short()) {
			continue
		}
		for _, s := range sources(t, p) {
			if s.test {
				continue
			}
			maps := mapNames(s.file)
			harmless := map[int]bool{}
			for _, group := range s.file.Comments {
				if strings.Contains(group.Text(), "any order") {
					line := s.fset.Position(group.End()).Line
					harmless[line], harmless[line+1] = true, true
				}
			}
			ast.Inspect(s.file, func(n ast.Node) bool {
				loop, ok := n.(*ast.RangeStmt)
				if ok && maps[lastName(loop.X)] && !harmless[s.fset.Position(loop.Pos()).Line] {
					t.Errorf("P3: %s ranges over a map: sort the keys, or say why it may happen in any order", s.at(loop))
				}
				return true
			})
		}
	}
}

// mapNames collects the names of fields, parameters and variables that the file declares as maps.
func mapNames(f *ast.File) map[string]bool {
	found := map[string]bool{}
	isMap := func(e ast.Expr) bool {
		switch e := e.(type) {
		case *ast.MapType:
			return true
		case *ast.CompositeLit:
			_, ok := e.Type.(*ast.MapType)
			return ok
		case *ast.CallExpr:
			if id, ok := e.Fun.(*ast.Ident); ok && id.Name == "make" && len(e.Args) > 0 {
				_, ok := e.Args[0].(*ast.MapType)
				return ok
			}
		}
		return false
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, name := range n.Names {
				if isMap(n.Type) {
					found[name.Name] = true
				}
			}
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if n.Type != nil && isMap(n.Type) || i < len(n.Values) && isMap(n.Values[i]) {
					found[name.Name] = true
				}
			}
		case *ast.AssignStmt:
			for i, left := range n.Lhs {
				if i < len(n.Rhs) && isMap(n.Rhs[i]) {
					found[lastName(left)] = true
				}
			}
		}
		return true
	})
	delete(found, "")
	return found
}

// lastName returns x for x and for a.b.x.
func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}
