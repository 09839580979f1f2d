package translate

import (
	"strings"
	"testing"

	"sluice/internal/leafwire"
	"sluice/iot"
)

// module is one that has nothing but what checks need.
func checking(translators ...string) *Module {
	return &Module{id: iot.ModuleIdentity("edge", "itm"), opt: Options{Translators: translators}}
}

// said is a message as the gateway hands it over.
func said(sender iot.Identity, properties ...string) *iot.Message {
	m := &iot.Message{Body: []byte("{}")}
	m.System.Set(iot.InputName, leafwire.Input)
	m.Stamp(sender)
	for i := 0; i < len(properties); i += 2 {
		m.Properties = append(m.Properties, iot.Property{Key: properties[i], Value: properties[i+1]})
	}
	return m
}

func TestBadMessages(t *testing.T) {
	ptm := iot.ModuleIdentity("edge", "ptm")
	other := func(m *iot.Message, change func(*iot.Message)) *iot.Message { change(m); return m }
	for name, c := range map[string]struct {
		m    *iot.Message
		want string // in the error; "" if it is good
	}{
		"telemetry":                 {said(ptm, "leafDeviceId", "a", "moduleId", "ptm"), ""},
		"the sample's own spelling": {said(ptm, "leafdeviceid", "a", "moduleid", "PTM"), ""},
		"no module id":              {said(ptm, "leafDeviceId", "a"), ""},
		"no leaf":                   {said(ptm), ""}, // passed on
		"a type and no leaf":        {said(ptm, "itmtype", "LeafEvent"), "leafDeviceId is missing"},
		"an empty leaf id":          {said(ptm, "leafDeviceId", ""), "is empty"},
		"an over-long leaf id":      {said(ptm, "leafDeviceId", strings.Repeat("x", 129)), "longer"},
		"a leaf id not UTF-8":       {said(ptm, "leafDeviceId", "\xff\xfe"), "UTF-8"},
		"two leaf ids":              {said(ptm, "leafDeviceId", "a", "leafdeviceid", "b"), "twice"},
		"Z10 a slash":               {said(ptm, "leafDeviceId", "edge/itm"), "leaf id"},
		"Z10 dots":                  {said(ptm, "leafDeviceId", ".."), "leaf id"},
		"Z10 the edge device":       {said(ptm, "leafDeviceId", "EDGE"), "the edge device's"},
		"Z10 percent-encoded":       {said(ptm, "leafDeviceId", "edge%2Fitm"), "leaf id"},
		"another's module id":       {said(ptm, "leafDeviceId", "a", "moduleId", "itm"), "says that it is of module"},
		"an event of the module":    {said(ptm, "leafDeviceId", "a", "itmtype", "LeafEvent"), "do not send"},
		"a made-up type":            {said(ptm, "leafDeviceId", "a", "itmtype", "X"), "do not send"},
		"reported that is no JSON":  {other(said(ptm, "leafDeviceId", "a", "itmtype", "LeafReported"), func(m *iot.Message) { m.Body = []byte("[1]") }), "no JSON object"},
		"gone to somewhere":         {other(said(ptm, "leafDeviceId", "a", "itmtype", "LeafGone"), func(m *iot.Message) { m.Body = []byte(`{"operation":"create"}`) }), "not disable or delete"},
		"a device":                  {said(iot.DeviceIdentity("leaf"), "leafDeviceId", "a"), "no module of this gateway"},
		"the edge device itself":    {said(iot.DeviceIdentity("edge"), "leafDeviceId", "a"), "no module of this gateway"},
		"another gateway's module":  {said(iot.ModuleIdentity("edge-2", "ptm"), "leafDeviceId", "a"), "no module of this gateway"},
		"another input":             {other(said(ptm, "leafDeviceId", "a"), func(m *iot.Message) { m.System.Set(iot.InputName, "x") }), "came on input"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := checking().understand(c.m)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestOnlyListedTranslatorsSpeakForLeaves(t *testing.T) {
	m := checking("ptm", "ptm-2")
	for _, c := range []struct {
		sender iot.Identity
		ok     bool
	}{
		{iot.ModuleIdentity("edge", "ptm"), true}, {iot.ModuleIdentity("edge", "PTM-2"), true},
		{iot.ModuleIdentity("edge", "camera"), false},
		{iot.Identity{}, false}, // a gateway that does not say who it was: what the message says is no proof
	} {
		_, err := m.understand(said(c.sender, "leafDeviceId", "a", "moduleId", cmpOr(c.sender.Module, "ptm")))
		if (err == nil) != c.ok {
			t.Errorf("%v: %v", c.sender, err)
		}
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// Whatever a message says, it is understood as that of a leaf that may be one, or of
// nobody.
func FuzzUnderstand(f *testing.F) {
	f.Add("leafDeviceId", "a", "itmtype", "LeafHello", "ptm", []byte(`{"methods":true}`))
	f.Add("leafDeviceId", "edge", "moduleId", "x", "", []byte(`{}`))
	f.Add("LEAFDEVICEID", "../x", "leafDeviceId", "y", "ptm", []byte(`{"operation":"delete"}`))
	f.Fuzz(func(t *testing.T, key, value, key2, value2, module string, body []byte) {
		m := said(iot.Identity{Device: "edge", Module: module}, key, value, key2, value2)
		m.Body = body
		s, err := checking().understand(m)
		if err != nil || s.pass {
			return
		}
		if err := leafwire.ValidateLeaf(s.route.Leaf, "edge"); err != nil {
			t.Fatalf("leaf %q: %v", s.route.Leaf, err)
		}
		out := own(m)
		if _, found, _ := leafwire.Leaf(&out); found {
			t.Fatalf("%+v still names a leaf", out)
		}
	})
}

func FuzzRecord(f *testing.F) {
	m := iot.Message{Body: []byte("x"), Properties: iot.Properties{{Key: "a", Value: "b"}}}
	f.Add(encodeRecord(telemetry, &m))
	f.Add([]byte{1, 9})
	f.Fuzz(func(t *testing.T, data []byte) {
		k, m, err := decodeRecord(data)
		if err != nil {
			return
		}
		again, _, err := decodeRecord(encodeRecord(k, &m))
		if err != nil || again != k {
			t.Fatalf("%v, %v", again, err)
		}
	})
}
