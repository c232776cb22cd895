package policy

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

// row is one package of the floor plan.
type row struct {
	floor, line int
	pkg         string
	imports     map[string]bool
}

// table returns the rows of the Markdown table whose header has exactly these columns.
func table(t *testing.T, header ...string) [][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			inside = false
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case strings.Join(cells, "|") == strings.Join(header, "|"):
			inside = true
		case inside && len(cells) == len(header) && strings.Trim(cells[0], "-") != "":
			rows = append(rows, cells)
		}
	}
	if len(rows) == 0 {
		t.Fatalf("ARCHITECTURE.md has no table with the columns %q", header)
	}
	return rows
}

var quoted = regexp.MustCompile("`([^`]+)`")

// names returns what stands in backquotes.
func names(cell string) []string {
	var all []string
	for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
		all = append(all, m[1])
	}
	return all
}

// floorPlan reads the floor plan.
func floorPlan(t *testing.T) map[string]*row {
	t.Helper()
	plan := map[string]*row{}
	for i, cells := range table(t, "floor", "package", "may import", "what lives there") {
		floor, err := strconv.Atoi(cells[0])
		pkgs := names(cells[1])
		if err != nil || len(pkgs) != 1 {
			t.Fatalf("floor plan: row %q needs a floor and one package", cells)
		}
		r := &row{floor: floor, line: i, pkg: pkgs[0], imports: map[string]bool{}}
		for _, name := range names(cells[2]) {
			r.imports[name] = true
		}
		if plan[r.pkg] != nil {
			t.Fatalf("floor plan: %s has two rows", r.pkg)
		}
		plan[r.pkg] = r
	}
	return plan
}

// P1: the plan itself goes downward: to a lower floor or, on the same floor, to a row above.
func TestFloorPlanGoesDown(t *testing.T) {
	plan := floorPlan(t)
	for _, r := range plan {
		for name := range r.imports {
			to := plan[name]
			switch {
			case to == nil:
				t.Errorf("P1: %s may import %s, which has no row", r.pkg, name)
			case to.floor > r.floor, to.floor == r.floor && to.line >= r.line:
				t.Errorf("P1: %s (floor %d) may import %s (floor %d): that is not downward", r.pkg, r.floor, name, to.floor)
			}
		}
	}
}

// P1: the tree follows the plan, and the plan says no more than the tree does.
func TestImportsFollowFloorPlan(t *testing.T) {
	plan := floorPlan(t)
	seen := map[string]bool{}
	for _, p := range packages(t) {
		if strings.HasPrefix(p.short(), "tests/") {
			continue // tests look at everything
		}
		r := plan[p.short()]
		seen[p.short()] = true
		if r == nil {
			t.Errorf("P1: package %s has no row in the floor plan of ARCHITECTURE.md", p.short())
			continue
		}
		used := map[string]bool{}
		for _, imp := range p.Imports {
			name, ours := strings.CutPrefix(imp, module)
			if !ours {
				continue
			}
			used[name] = true
			if !r.imports[name] {
				t.Errorf("P1: %s imports %s, which its row of the floor plan does not allow", r.pkg, name)
			}
		}
		for name := range r.imports {
			if !used[name] {
				t.Errorf("P1: the floor plan lets %s import %s, but it does not: take it out", r.pkg, name)
			}
		}
	}
	for name := range plan {
		if !seen[name] {
			t.Errorf("P1: the floor plan has a row for %s, which is not there", name)
		}
	}
}

// P1: nobody imports tests, and main is not imported.
func TestNothingImportsTests(t *testing.T) {
	for _, p := range packages(t) {
		for _, imp := range p.Imports {
			if strings.HasPrefix(imp, module+"tests/") && !strings.HasPrefix(p.short(), "tests/") {
				t.Errorf("P1: %s imports %s", p.short(), imp)
			}
		}
	}
}

// P2: third-party modules are used where their row says, and each row is in use.
func TestDependenciesAreDefended(t *testing.T) {
	type dep struct{ where, seen map[string]bool }
	deps := map[string]*dep{}
	for _, cells := range table(t, "module", "used by", "why") {
		for _, name := range names(cells[0]) {
			d := &dep{map[string]bool{}, map[string]bool{}}
			for _, where := range names(cells[1]) {
				d.where[where] = true
			}
			deps[name] = d
		}
		if len(cells[2]) < 20 {
			t.Errorf("P2: %s needs a defence", cells[0])
		}
	}
	check := func(p *pkg, imports []string) {
		for _, imp := range imports {
			if !strings.Contains(strings.SplitN(imp, "/", 2)[0], ".") {
				continue // standard library or our own
			}
			found := false
			for name, d := range deps {
				if imp != name && !strings.HasPrefix(imp, name+"/") {
					continue
				}
				found = true
				d.seen[p.short()] = true
				if !d.where[p.short()] {
					t.Errorf("P2: %s imports %s; its row in ARCHITECTURE.md does not name that package", p.short(), imp)
				}
			}
			if !found {
				t.Errorf("P2: %s imports %s, which has no row in the dependency table of ARCHITECTURE.md", p.short(), imp)
			}
		}
	}
	for _, p := range packages(t) {
		check(p, p.Imports)
		check(p, p.TestImports)
		check(p, p.XTestImports)
	}
	for name, d := range deps {
		for where := range d.where {
			if !d.seen[where] {
				t.Errorf("P2: ARCHITECTURE.md says that %s uses %s, but it does not", where, name)
			}
		}
	}
}

// The files that ARCHITECTURE.md sends its reader to are there.
func TestArchitectureNamesRealFiles(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names(string(text)) {
		if !strings.HasSuffix(name, ".go") || !strings.Contains(name, "/") {
			continue
		}
		if _, err := os.Stat(filepath.Join(root(t), name)); err != nil {
			t.Errorf("ARCHITECTURE.md names %s: %v", name, err)
		}
	}
}
