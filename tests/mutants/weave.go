package mutants

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// switchPath is the package, existing only while tests are compiled, that says which mutant is alive.
const switchPath = "dfs/tests/mutants/alive"

// switchSource is its text. The number of a mutant is its place in the table, from 1; with 0 nothing is wrong.
const switchSource = `package alive

import (
	"os"
	"strconv"
)

// Mutant is the number of the mutant that is alive.
var Mutant, _ = strconv.Atoi(os.Getenv("DFS_MUTANT"))
`

// patch is a change of a file's text: what is put in place of the bytes from one offset to another.
type patch struct {
	from, to int
	text     string
}

// apply returns text with the patches, which do not overlap.
func apply(text string, patches []patch) string {
	slices.SortStableFunc(patches, func(a, b patch) int { return a.from - b.from })
	var b strings.Builder
	at := 0
	for _, p := range patches {
		b.WriteString(text[at:p.from])
		b.WriteString(p.text)
		at = p.to
	}
	b.WriteString(text[at:])
	return b.String()
}

// source is one file of the program and the mutants in it.
type source struct {
	text    string
	fset    *token.FileSet
	file    *ast.File
	mutants map[*ast.FuncDecl]map[int][]patch // by function and number of the mutant
}

func parse(path, text string) (*source, error) {
	s := &source{text: text, fset: token.NewFileSet(), mutants: map[*ast.FuncDecl]map[int][]patch{}}
	var err error
	s.file, err = parser.ParseFile(s.fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
	return s, err
}

func (s *source) offset(p token.Pos) int { return s.fset.Position(p).Offset }

// add notes an edit of mutant number n. It must lie within the body of one function.
func (s *source) add(n int, e edit) error {
	if count := strings.Count(s.text, e.old); count != 1 {
		return fmt.Errorf("MU1: %s has this %d times, it must be there once: %q", e.file, count, e.old)
	}
	p := patch{text: e.new}
	p.from = strings.Index(s.text, e.old)
	p.to = p.from + len(e.old)
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil || p.from <= s.offset(f.Body.Lbrace) || p.to > s.offset(f.Body.Rbrace) {
			continue
		}
		if s.mutants[f] == nil {
			s.mutants[f] = map[int][]patch{}
		}
		s.mutants[f][n] = append(s.mutants[f][n], p)
		return nil
	}
	return fmt.Errorf("MU1: in %s this is not within the body of one function: %q", e.file, e.old)
}

// weave returns the text of the file in which each function that has mutants begins by asking which one is alive, and
// goes on in a copy of itself that has the bug.
func (s *source) weave() (string, error) {
	var patches []patch
	var copies strings.Builder
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || s.mutants[f] == nil {
			continue
		}
		names, call := s.signature(f)
		patches = append(patches, names...)
		var numbers []int
		for n := range s.mutants[f] {
			numbers = append(numbers, n)
		}
		slices.Sort(numbers)
		turn := " switch alive_.Mutant {"
		for _, n := range numbers {
			name := f.Name.Name + "_mutant" + strconv.Itoa(n)
			turn += fmt.Sprintf(" case %d: ", n)
			if f.Type.Results != nil {
				turn += "return "
			}
			turn += strings.Replace(call, "\x00", name, 1)
			if f.Type.Results == nil {
				turn += "; return"
			}
			turn += ";"
			edits := append(slices.Clone(names), s.mutants[f][n]...)
			edits = append(edits, patch{s.offset(f.Name.Pos()), s.offset(f.Name.End()), name})
			fmt.Fprintf(&copies, "\n//line mutant%d.go:1\n%s\n", n, s.part(f, edits))
		}
		at := s.offset(f.Body.Lbrace) + 1
		patches = append(patches, patch{at, at, turn + " }; "})
	}
	at := s.offset(s.file.Name.End())
	patches = append(patches, patch{at, at, "; import alive_ " + strconv.Quote(switchPath)})
	text := apply(s.text, patches) + copies.String()
	_, err := parser.ParseFile(token.NewFileSet(), "woven", text, parser.SkipObjectResolution)
	return text, err
}

// part is the text of a function with patches, which are in offsets of the file.
func (s *source) part(f *ast.FuncDecl, patches []patch) string {
	from, to := s.offset(f.Type.Pos()), s.offset(f.End())
	for i := range patches {
		patches[i].from -= from
		patches[i].to -= from
	}
	return apply(s.text[from:to], patches)
}

// signature returns the patches that give every parameter a name, and the call of the function by these names, with a
// zero byte in the place of its own.
func (s *source) signature(f *ast.FuncDecl) (patches []patch, call string) {
	unnamed := 0
	name := func() string { unnamed++; return "arg" + strconv.Itoa(unnamed) + "_" }
	list := func(fields *ast.FieldList) (args []string) {
		for _, field := range fields.List {
			names := []string{}
			for _, id := range field.Names {
				if id.Name == "_" {
					id = &ast.Ident{NamePos: id.NamePos, Name: name()}
					patches = append(patches, patch{s.offset(id.NamePos), s.offset(id.NamePos) + 1, id.Name})
				}
				names = append(names, id.Name)
			}
			if len(field.Names) == 0 {
				names = append(names, name())
				at := s.offset(field.Type.Pos())
				patches = append(patches, patch{at, at, names[0] + " "})
			}
			if _, ok := field.Type.(*ast.Ellipsis); ok {
				names[len(names)-1] += "..."
			}
			args = append(args, names...)
		}
		return args
	}
	if f.Recv != nil {
		call = list(f.Recv)[0] + "."
	}
	return patches, call + "\x00(" + strings.Join(list(f.Type.Params), ", ") + ")"
}
