package hub

import (
	"encoding/json"
	"testing"

	"sluice/internal/hub/storage"
	"sluice/iot"
)

func TestEventsAreEnriched(t *testing.T) {
	f := newFixture(t)
	f.opt.Notify = []storage.Source{storage.TwinChange}
	for _, text := range []string{
		"customer=Contoso", "hub=$iothubname", "site=$twin.tags.site", "zip=$twin.tags.place.zip",
		"every=$twin.properties.desired.interval", "mode=$twin.properties.reported.mode", "none=$twin.tags.nothing.there",
	} {
		e, err := ParseEnrichment(text)
		if err != nil {
			t.Fatal(err)
		}
		f.opt.Enrichments = append(f.opt.Enrichments, e)
	}
	f.create("dev")
	s := f.connect(dev, nil)
	f.patch(dev, `{"tags":{"site":"hall 4","place":{"zip":10115}},"properties":{"desired":{"interval":{"s":5}}}}`)
	if _, err := s.PatchReported(t.Context(), json.RawMessage(`{"mode":true}`)); err != nil {
		t.Fatal(err)
	}
	m := iot.Message{Body: []byte("x"), Properties: iot.Properties{{Key: "customer", Value: "a lie"}, {Key: "own", Value: "1"}}}
	done := make(chan error, 1)
	s.Send([]iot.Message{m}, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	all := f.events(dev, 3)
	for name, want := range map[string]string{
		"customer": "Contoso", "own": "1", "hub": f.opt.Hosts[0], "site": "hall 4", "zip": "10115",
		"every": `{"s":5}`, "mode": "true", "none": "$twin.tags.nothing.there",
	} {
		if got, _ := all[2].Message.Properties.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got, _ := all[0].Message.Properties.Get("site"); got != "hall 4" {
		t.Errorf("of an event of the hub's own, site is %q", got)
	}
}

func TestEnrichmentsThatCannotBe(t *testing.T) {
	for _, text := range []string{"", "a", "=b", "a=", "a b=c", "a=$twin", "a=$twin.tags.", "a=$twin.properties.x", "a=$dtId"} {
		if e, err := ParseEnrichment(text); err == nil {
			t.Errorf("%q is %+v", text, e)
		}
	}
	if _, err := ParseEnrichment("a-b_c.1=x=y"); err != nil {
		t.Error(err)
	}
}
