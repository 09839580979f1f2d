package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// module is the path that imports of our own begin with.
const module = "sluice"

// A source is one Go file.
type source struct {
	path   string // from the root of the tree, with slashes
	test   bool
	syntax *ast.File
	pos    *token.FileSet
}

// pkg is the package's directory, which is its import path without the module.
func (s source) pkg() string { return path.Dir(s.path) }

func (s source) at(p token.Pos) string {
	return fmt.Sprintf("%s:%d", s.path, s.pos.Position(p).Line)
}

// An edge is one import.
type edge struct {
	where    string // file and line
	from, to string // packages: ours without the module's path, others with theirs
	ours     bool
	test     bool
}

func (s source) edges() []edge {
	var edges []edge
	for _, spec := range s.syntax.Imports {
		to, _ := strconv.Unquote(spec.Path.Value) // parsed, so well formed
		own, ours := strings.CutPrefix(to, module+"/")
		edges = append(edges, edge{s.at(spec.Pos()), s.pkg(), own, ours, s.test})
	}
	return edges
}

// tree parses every Go file once for all tests.
var tree = sync.OnceValues(func() ([]source, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	var sources []source
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skip(d.Name(), name == root)
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		s, err := parse(root, name)
		if err != nil {
			return err
		}
		sources = append(sources, s)
		return nil
	})
	return sources, err
})

// skip leaves out what the go command leaves out, and other languages' packages.
func skip(dir string, root bool) error {
	if !root && (dir[0] == '.' || dir[0] == '_' || dir == "testdata" || dir == "node_modules") {
		return filepath.SkipDir
	}
	return nil
}

func parse(root, name string) (source, error) {
	rel, err := filepath.Rel(root, name)
	if err != nil {
		return source{}, err
	}
	pos := token.NewFileSet()
	syntax, err := parser.ParseFile(pos, name, nil, parser.ParseComments)
	if err != nil {
		return source{}, err
	}
	return source{filepath.ToSlash(rel), strings.HasSuffix(name, "_test.go"), syntax, pos}, nil
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("no go.mod above the test")
		}
		dir = up
	}
}

func load(t *testing.T) []source {
	t.Helper()
	sources, err := tree()
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) < 100 {
		t.Fatalf("read %d files: not the whole tree", len(sources))
	}
	return sources
}

// imports are the edges of the tree that keep accepts.
func imports(t *testing.T, keep func(edge) bool) []edge {
	t.Helper()
	var edges []edge
	for _, s := range load(t) {
		for _, e := range s.edges() {
			if keep(e) {
				edges = append(edges, e)
			}
		}
	}
	return edges
}

// within reports whether pkg is room, or stands inside it.
func within(pkg, room string) bool {
	return pkg == room || strings.HasPrefix(pkg, room+"/")
}
