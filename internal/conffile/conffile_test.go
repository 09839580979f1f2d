package conffile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type sample struct {
	Listen string            `toml:"listen" json:"listen"`
	Units  []unit            `toml:"units" json:"units"`
	Extra  map[string]string `toml:"extra" json:"extra"`
	Inner
}

type Inner struct {
	Within string `toml:"within" json:"within"`
}

type unit struct {
	Address int `toml:"address" json:"address"`
}

func TestBothFormsReadTheSame(t *testing.T) {
	want := sample{"a", []unit{{1}, {2}}, map[string]string{"any": "thing"}, Inner{"w"}}
	var fromTOML, fromJSON sample
	if err := TOML([]byte("listen = 'a'\nwithin = 'w'\nextra = { any = 'thing' }\n[[units]]\naddress = 1\n[[units]]\naddress = 2"), &fromTOML); err != nil {
		t.Error(err)
	}
	if err := JSON([]byte(`{"listen": "a", "within": "w", "units": [{"address": 1}, {"address": 2}], "extra": {"any": "thing"}}`), &fromJSON); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, fromTOML) + cmp.Diff(want, fromJSON); diff != "" {
		t.Error(diff)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for _, c := range []struct{ file, text, want string }{
		{"a.toml", "listen = 'a'\nunit = 1", `a.toml: line 2: unknown key "unit"; did you mean "units"?`},
		{"a.toml", "[[units]]\nadress = 1", `line 2: unknown key "units.adress"; did you mean "units.address"?`},
		{"a.toml", "[[units]]\nlisten = 1", `did you mean "listen"?`},
		{"a.toml", "withn = 1", `did you mean "within"?`},
		{"a.json", `{"withn": 1}`, `did you mean "within"?`},
		{"a.toml", "\nlisten = 5", `line 2: listen: `},
		{"a.toml", "\n\nlisten", `line 3`},
		{"a.json", "{\"listen\":\n\"a\",,}", `a.json: line 2: `},
		{"a.json", `{"units": [{"adress": 1}]}`, `unknown key "units.adress"; did you mean "units.address"?`},
		{"a.json", "{\"units\":\n[{\"address\": \"x\"}]}", `line 2: units.address: it must be of type int, not string`},
		{"a.json", `{"zzzzzzzzzzzzz": 1}`, `unknown key "zzzzzzzzzzzzz"`},
		{"a.json", `[]`, `it must be a JSON object`},
	} {
		file := filepath.Join(t.TempDir(), c.file)
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Load(file, new(sample)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, not %s", c.text, err, c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("listen = 'a'\n[[units]]\naddress = 1"))
	f.Add([]byte(`{"units": [{"address": 1}], "extra": {"a": 1}}`))
	f.Add([]byte(`{"units": {"address": []}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, decode := range []func([]byte, any) error{TOML, JSON} {
			if err := decode(data, new(sample)); err != nil && err.Error() == "" {
				t.Error("an error without words")
			}
		}
	})
}
