package mqttlink

import (
	"testing"
	"unicode/utf8"

	"sluice/iot"
)

// The topics are those of edgeHub, which says who sent a message; a hub that says so
// of a command is not asked.
func TestWhatComesOnAnInputSaysWhoSentIt(t *testing.T) {
	module := iot.ModuleIdentity("edge", "itm")
	var m iot.Message
	err := parseDelivery(module, "devices/edge/modules/itm/inputs/itm%20input/%24.cdid=edge&%24.cmid=ptm&%24.ct=application%2Fjson&leafDeviceId=a%2Fb", &m)
	leaf, _ := m.Properties.Get("leafDeviceId")
	if err != nil || m.System.Get(iot.InputName) != "itm input" || m.Sender() != iot.ModuleIdentity("edge", "ptm") ||
		m.System.Get(iot.ContentType) != "application/json" || leaf != "a/b" {
		t.Errorf("%+v, %v", m, err)
	}
	m = iot.Message{}
	if err := parseDelivery(iot.DeviceIdentity("d"), "devices/d/messages/devicebound/%24.cmid=ptm&a=b", &m); err != nil || m.Sender().Module != "" {
		t.Errorf("%+v, %v", m, err)
	}
}

func FuzzInput(f *testing.F) {
	f.Add("itminput/%24.cdid=edge&%24.cmid=ptm&a=b")
	f.Add("")
	f.Add("/")
	f.Add("%2F/%00=&=")
	module := iot.ModuleIdentity("edge", "itm")
	f.Fuzz(func(t *testing.T, rest string) {
		var m iot.Message
		if parseDelivery(module, commandPrefix(module)+rest, &m) != nil {
			return
		}
		for _, p := range m.Properties {
			if p.Key == "" || !utf8.ValidString(p.Key+p.Value) {
				t.Fatalf("%q became %+v", rest, m)
			}
		}
	})
}
