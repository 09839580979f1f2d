package route

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"testing"
)

// vector is a row of testdata/conditions.jsonl: a condition, the message that it
// is asked about, and what edgeHub's own tests expect. "error" is a condition
// that must not compile.
type vector struct {
	Name    string
	When    string
	Message string // of testdata/messages.json
	Want    string
}

// message is a message of testdata/messages.json.
type message struct {
	From       string
	Properties Attributes
	System     Attributes
	Body       []byte // base64
}

func loadVectors(t testing.TB) ([]vector, map[string]message) {
	t.Helper()
	messages := map[string]message{}
	text, err := os.ReadFile("testdata/messages.json")
	if err == nil {
		err = json.Unmarshal(text, &messages)
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err = os.ReadFile("testdata/conditions.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatalf("%v in %s", err, lines.Bytes())
		}
		vectors = append(vectors, v)
	}
	return vectors, messages
}

func evalVector(v vector, m message) string {
	c, err := ParseCondition(v.When, newPattern(m.From))
	if err != nil {
		return "error"
	}
	return c.EvalSample(&Sample{m.Properties, m.System, m.Body}).String()
}

// Conditions that edgeHub's users have written keep their meaning.
func TestConditionsMeanWhatTheyMeanToEdgeHub(t *testing.T) {
	vectors, messages := loadVectors(t)
	if len(vectors) < 180 {
		t.Fatalf("only %d vectors", len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			m, ok := messages[v.Message]
			if !ok {
				t.Fatalf("there is no message %q", v.Message)
			}
			if got := evalVector(v, m); got != v.Want {
				_, err := ParseCondition(v.When, newPattern(m.From))
				t.Errorf("%s = %s, want %s (%v)", v.When, got, v.Want, err)
			}
		})
	}
}
