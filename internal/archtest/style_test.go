package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"strings"
	"testing"
)

// The budgets. Most files and functions are far below them.
const (
	maxFileLines     = 700
	maxFunctionLines = 100
	maxParameters    = 6
)

// A rule looks at one file and says what is wrong with it.
type rule func(source) []string

func TestFilesHoldOneIdea(t *testing.T)                  { apply(t, fileLength) }
func TestFunctionsFitAScreen(t *testing.T)               { apply(t, functionSize) }
func TestExportedNamesAreDocumented(t *testing.T)        { apply(t, undocumented) }
func TestNamesAreTheFieldsOwn(t *testing.T)              { apply(t, emptyNames) }
func TestNothingRunsBeforeMain(t *testing.T)             { apply(t, initFunctions) }
func TestTestsWaitForTheThingAndNotForTime(t *testing.T) { apply(t, sleeps) }
func TestDatabasesStandOnTheDisk(t *testing.T)           { apply(t, ownDatabases) }

func apply(t *testing.T, check rule) {
	t.Helper()
	for _, s := range load(t) {
		for _, wrong := range check(s) {
			t.Error(wrong)
		}
	}
}

func fileLength(s source) []string {
	lines := s.pos.File(s.syntax.FileStart).LineCount()
	if s.test || lines <= maxFileLines {
		return nil
	}
	return []string{fmt.Sprintf("%s has %d lines; the limit is %d. Which two ideas does it hold?", s.path, lines, maxFileLines)}
}

func functionSize(s source) []string {
	var wrong []string
	for _, d := range s.syntax.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || s.test {
			continue
		}
		if n := s.pos.Position(f.End()).Line - s.pos.Position(f.Pos()).Line + 1; n > maxFunctionLines {
			wrong = append(wrong, fmt.Sprintf("%s: %s has %d lines; the limit is %d. Name its steps, and make each a function", s.at(f.Pos()), f.Name.Name, n, maxFunctionLines))
		}
		if n := f.Type.Params.NumFields(); n > maxParameters {
			wrong = append(wrong, fmt.Sprintf("%s: %s takes %d parameters; the limit is %d. Those that go together are a type", s.at(f.Pos()), f.Name.Name, n, maxParameters))
		}
	}
	return wrong
}

// undocumented finds exported functions, methods of exported types, and types
// without a comment. A group of constants or variables may have one for all.
func undocumented(s source) []string {
	if s.test || s.syntax.Name.Name == "main" {
		return nil
	}
	var wrong []string
	bare := func(name *ast.Ident, docs ...*ast.CommentGroup) {
		for _, doc := range docs {
			if doc.Text() != "" {
				return
			}
		}
		if name.IsExported() {
			wrong = append(wrong, fmt.Sprintf("%s: %s is exported and has no comment. Say what the signature does not: units, limits, errors, who may call", s.at(name.Pos()), name.Name))
		}
	}
	for _, d := range s.syntax.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if exportedReceiver(d) && !customary(d) {
				bare(d.Name, d.Doc)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					bare(spec.Name, d.Doc, spec.Doc, spec.Comment)
				case *ast.ValueSpec:
					bare(spec.Names[0], d.Doc, spec.Doc, spec.Comment)
				}
			}
		}
	}
	return wrong
}

// customary methods mean what they mean everywhere.
func customary(f *ast.FuncDecl) bool {
	switch f.Name.Name {
	case "Error", "Unwrap", "String", "Len", "Less", "Swap", "Push", "Pop":
		return f.Recv != nil
	}
	return false
}

func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	of := f.Recv.List[0].Type
	for {
		switch x := of.(type) {
		case *ast.StarExpr:
			of = x.X
		case *ast.IndexExpr:
			of = x.X
		case *ast.IndexListExpr:
			of = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

var (
	emptyType    = regexp.MustCompile(`(Manager|Helper|Helpers|Util|Utils|Processor|Impl)$`)
	emptyPackage = regexp.MustCompile(`^(util|utils|common|helper|helpers|types|models|pkg|core|misc)$`)
)

func emptyNames(s source) []string {
	var wrong []string
	if emptyPackage.MatchString(s.syntax.Name.Name) {
		wrong = append(wrong, fmt.Sprintf("%s: a package named %s can hold anything. What is in it?", s.path, s.syntax.Name.Name))
	}
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok && emptyType.MatchString(spec.Name.Name) {
			wrong = append(wrong, fmt.Sprintf("%s: %s: what does it do? Use the word of the field: queue, session, lease, registry", s.at(spec.Pos()), spec.Name.Name))
		}
		return true
	})
	return wrong
}

func initFunctions(s source) []string {
	var wrong []string
	for _, d := range s.syntax.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			wrong = append(wrong, fmt.Sprintf("%s: an init function runs whether it is wanted or not. Make the value where it is used", s.at(f.Pos())))
		}
	}
	return wrong
}

// sleeps finds tests that sleep, but for those in a bubble, where the clock is
// the test's, and benchmarks that stand in for a slow disk.
func sleeps(s source) []string {
	if !s.test || strings.HasSuffix(s.path, "bench_test.go") || importsPath(s, "testing/synctest") {
		return nil
	}
	return uses(s, "time", "Sleep", "a test that sleeps is slow when it is right and wrong when the machine is slow. Wait for the thing itself, with a deadline, or use testing/synctest")
}

// uses finds where a package's function is named, and says why it should not be.
func uses(s source, pkg, name, why string) (wrong []string) {
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		if at, ok := n.(*ast.SelectorExpr); ok && at.Sel.Name == name {
			if of, ok := at.X.(*ast.Ident); ok && of.Name == pkg {
				wrong = append(wrong, fmt.Sprintf("%s: %s", s.at(at.Pos()), why))
			}
		}
		return true
	})
	return wrong
}

// ownDatabases finds databases that do not stand on internal/disk.
func ownDatabases(s source) []string {
	if s.test || within(s.pkg(), "internal/disk") || within(s.pkg(), "internal/dbtest") {
		return nil
	}
	return uses(s, "pebble", "Open", "a full disk ends the process that opens a database by itself. Open it with internal/disk")
}

func importsPath(s source, path string) bool {
	for _, e := range s.edges() {
		if e.to == path {
			return true
		}
	}
	return false
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	said := map[string]bool{}
	for _, s := range load(t) {
		if !s.test {
			said[s.pkg()] = said[s.pkg()] || s.syntax.Doc.Text() != ""
		}
	}
	for pkg, ok := range said {
		if !ok {
			t.Errorf("%s has no package comment.\nSay in one sentence what it is, then what it promises: ownership, concurrency, limits, the form on the wire or disk.", path.Clean(pkg))
		}
	}
}

func TestBreachesOfStyleAreFound(t *testing.T) {
	long := strings.Repeat("\n", maxFunctionLines)
	for _, c := range []struct {
		rule   rule
		name   string
		text   string
		broken bool
	}{
		{fileLength, "a.go", "package a" + strings.Repeat("\n", maxFileLines+1), true},
		{fileLength, "a_test.go", "package a" + strings.Repeat("\n", maxFileLines+1), false},
		{functionSize, "a.go", "package a\nfunc f() {" + long + "}", true},
		{functionSize, "a.go", "package a\nfunc f(a, b, c, d, e, f, g int) {}", true},
		{functionSize, "a.go", "package a\nfunc f(a, b int) {}", false},
		{undocumented, "a.go", "package a\nfunc F() {}", true},
		{undocumented, "a.go", "package a\ntype t int\nfunc (t) F() {}", false},
		{undocumented, "a.go", "package a\n// T is.\ntype T[E any] int\nfunc (*T[E]) F() {}", true},
		{undocumented, "a.go", "package a\n// Both.\nconst (\n\tA = 1\n\tB = 2\n)", false},
		{undocumented, "a.go", "package a\nvar A = 1", true},
		{emptyNames, "a.go", "package a\ntype QueueManager int", true},
		{emptyNames, "a.go", "package util", true},
		{initFunctions, "a.go", "package a\nfunc init() {}", true},
		{sleeps, "a_test.go", "package a\nimport \"time\"\nfunc f() { time.Sleep(1) }", true},
		{sleeps, "a_test.go", "package a\nimport (\"time\"; \"testing/synctest\")\nfunc f() { time.Sleep(1); synctest.Wait() }", false},
		{ownDatabases, "internal/a/a.go", "package a\nvar db, err = pebble.Open(\"\", nil)", true},
		{ownDatabases, "internal/disk/a.go", "package a\nvar db, err = pebble.Open(\"\", nil)", false},
	} {
		pos := token.NewFileSet()
		syntax, err := parser.ParseFile(pos, c.name, c.text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		wrong := c.rule(source{c.name, strings.HasSuffix(c.name, "_test.go"), syntax, pos})
		if (len(wrong) > 0) != c.broken {
			t.Errorf("%.60q: %q", c.text, wrong)
		}
	}
}
