package edge

import (
	"fmt"
	"testing"
)

func TestWhatDevicesSendArrivesAtTheHub(t *testing.T) {
	s := newSite(t, "pump1", "pump2")
	e := s.open(nil)
	s.run(e.Run)
	var sent []string
	for _, id := range []string{"pump1", "pump2"} {
		d := s.connect(id, e.MQTTAddr().String(), nil)
		for n := range 50 {
			body := fmt.Sprintf("%s %d", id, n)
			d.send(body)
			sent = append(sent, body)
		}
	}
	s.expect(sent)
}
