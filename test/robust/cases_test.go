//go:build unix

package robust

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The table is for people who ask where a promise is kept; it must not point at
// what is gone.
func TestCasesAreWhereTheTableSays(t *testing.T) {
	text, err := os.ReadFile("CASES.md")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile("`([^`]+)`")
	found := 0
	for line := range strings.Lines(string(text)) {
		dirs := []string{"."}
		var fresh []string
		for _, m := range name.FindAllStringSubmatch(line, -1) {
			switch word := m[1]; {
			case strings.HasPrefix(word, "testdata/"):
				for _, dir := range dirs {
					if _, err := os.Stat(filepath.Join(dir, word)); err != nil {
						t.Error(err)
					}
				}
				fresh = nil
			case strings.HasSuffix(word, "_test.go"):
				if _, err := os.Stat(filepath.Join(dirs[0], word)); err != nil {
					t.Error(err)
				}
				fresh = nil
			case strings.HasPrefix(word, "Test"), strings.HasPrefix(word, "Fuzz"):
				found++
				if !defined(t, dirs, word) {
					t.Errorf("%s is not in %v", word, dirs)
				}
				fresh = nil
			case isPackage(word):
				fresh = append(fresh, filepath.Join("..", "..", word))
				dirs = fresh
			}
		}
	}
	if found < 100 {
		t.Errorf("found only %d tests in the table: has it changed its form?", found)
	}
}

func isPackage(word string) bool {
	info, err := os.Stat(filepath.Join("..", "..", word))
	return err == nil && info.IsDir()
}

// defined reports whether each of the directories has a test of that name.
func defined(t *testing.T, dirs []string, test string) bool {
	t.Helper()
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		ok := false
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			ok = ok || strings.Contains(string(text), "func "+test+"(")
		}
		if !ok {
			return false
		}
	}
	return true
}
