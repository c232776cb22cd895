package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// module is the prefix of our own import paths.
const module = "dfs/"

// pkg is what `go list` tells about one package.
type pkg struct {
	ImportPath   string
	Name         string
	Dir          string
	GoFiles      []string
	CgoFiles     []string
	TestGoFiles  []string
	XTestGoFiles []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// short is the path inside of the module.
func (p *pkg) short() string { return strings.TrimPrefix(p.ImportPath, module) }

// root is the top of the tree: two directories above this package.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatalf("no go.mod above tests/policy: %v", err)
	}
	return dir
}

var listing struct {
	once sync.Once
	pkgs []*pkg
	err  error
}

// packages lists all packages of the module.
func packages(t *testing.T) []*pkg {
	t.Helper()
	dir := root(t)
	listing.once.Do(func() { listing.pkgs, listing.err = goList(dir) })
	if listing.err != nil {
		t.Fatal(listing.err)
	}
	return listing.pkgs
}

func goList(dir string) ([]*pkg, error) {
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Name,Dir,GoFiles,CgoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.New("go list: " + stderr.String())
	}
	var all []*pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(pkg)
		if err := dec.Decode(p); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
}

// source is one parsed file.
type source struct {
	pkg  *pkg
	path string // from the root of the tree
	test bool
	fset *token.FileSet
	file *ast.File
}

// at prints where a node of the file stands.
func (s *source) at(n ast.Node) string {
	pos := s.fset.Position(n.Pos())
	return s.path + ":" + itoa(pos.Line)
}

// sources parses the package's files.
func sources(t *testing.T, p *pkg) []*source {
	t.Helper()
	var all []*source
	add := func(names []string, test bool) {
		for _, name := range names {
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, &source{p, p.short() + "/" + name, test, fset, f})
		}
	}
	add(p.GoFiles, false)
	add(p.CgoFiles, false)
	add(p.TestGoFiles, true)
	add(p.XTestGoFiles, true)
	return all
}

// imported returns the name under which the file uses the package of the path, or "".
func (s *source) imported(path string) string {
	for _, imp := range s.file.Imports {
		if strings.Trim(imp.Path.Value, `"`) != path {
			continue
		}
		if imp.Name != nil {
			return imp.Name.Name
		}
		return path[strings.LastIndexByte(path, '/')+1:]
	}
	return ""
}

// uses calls fn for each selector NAME.what on the imported package of the path.
func (s *source) uses(path string, fn func(sel *ast.SelectorExpr)) {
	name := s.imported(path)
	if name == "" {
		return
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok && id.Name == name {
				fn(sel)
			}
		}
		return true
	})
}
