package translator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"os"
	"os/signal"
	"sync"
	"time"

	"sluice/iot"
	"sluice/translator"
)

// field is a field of two pumps that can be read, and switched by a method.
type field struct {
	mu    sync.Mutex
	pumps map[string]bool
}

// A whole translator. A gateway runs it as a module; see docs/translators.md.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	f := &field{pumps: map[string]bool{"pump-1": true, "pump-2": false}}
	t, err := translator.New(translator.Options{Method: f.method})
	if err != nil {
		fmt.Println("not started by a gateway")
		return
	}
	go f.read(ctx, t)
	if err := t.Run(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: not started by a gateway
}

// read tells the gateway of every pump, once a second.
func (f *field) read(ctx context.Context, t *translator.Translator) {
	for id := range f.now() {
		if err := hello(ctx, t, id); err != nil {
			log.Print(err)
		}
	}
	for ctx.Err() == nil {
		for id, on := range f.now() {
			if err := tell(ctx, t, id, on); err != nil {
				log.Print(err)
			}
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

func (f *field) now() map[string]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.pumps)
}

// hello says that a pump has methods.
func hello(ctx context.Context, t *translator.Translator, id string) error {
	leaf, err := t.Leaf(id)
	if err != nil {
		return err
	}
	return leaf.Hello(ctx, translator.Capabilities{Methods: true})
}

// tell returns when the gateway has it: a field that can be told so is told then.
func tell(ctx context.Context, t *translator.Translator, id string, on bool) error {
	leaf, err := t.Leaf(id)
	if err != nil {
		return err
	}
	m := iot.Message{Body: fmt.Appendf(nil, `{"on": %t}`, on)}
	m.System.Set(iot.ContentType, "application/json")
	m.System.Set(iot.ContentEncoding, "utf-8")
	return leaf.Send(ctx, m)
}

// method answers {"on": true} to switch.
func (f *field) method(c *translator.Call) {
	var wish struct{ On bool }
	if err := json.Unmarshal(c.Payload, &wish); err != nil || c.Name != "switch" {
		c.Answer(400, json.RawMessage(`{"message": "switch takes on: true or false"}`))
		return
	}
	f.mu.Lock()
	f.pumps[c.Leaf.ID()] = wish.On
	f.mu.Unlock()
	c.Answer(200, c.Payload)
}
