package poller

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/conffile"
	"sluice/internal/modbus/modbustest"
	"sluice/iot"
	"sluice/translator"
	"sluice/translator/translatortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// field is a press with every kind of register.
func field() map[byte]*modbustest.Unit {
	return map[byte]*modbustest.Unit{
		1: {
			Coils:    map[uint16]bool{0: true},
			Discrete: map[uint16]bool{0: false, 1: true},
			Holding:  map[uint16]uint16{0: 215, 1: 0xFFFE, 10: 0x4148, 11: 0},
			Input:    map[uint16]uint16{0: 3, 5: 0x0001, 6: 0x0002},
		},
		2: {Holding: map[uint16]uint16{0: 7}},
	}
}

const press = `
[[devices]]
address = "ADDRESS"
timeout = "TIMEOUT"
[[devices.units]]
unit = 1
leaf = "press-1"
interval = "20ms"
CHANGES
[[devices.units.registers]]
name = "running"
kind = "coil"
writable = true
[[devices.units.registers]]
name = "alarm"
kind = "discrete"
address = 1
[[devices.units.registers]]
name = "setpoint"
kind = "holding"
scale = 0.1
writable = true
min = 5
max = 30
[[devices.units.registers]]
name = "offset"
kind = "holding"
address = 1
type = "int16"
writable = true
[[devices.units.registers]]
name = "pressure"
kind = "holding"
address = 10
type = "float32"
writable = true
[[devices.units.registers]]
name = "temperature"
kind = "input"
scale = 0.1
[[devices.units.registers]]
name = "energy"
kind = "input"
address = 5
type = "uint32"
order = "low_first"
`

type rig struct {
	*translatortest.Gateway
	s *modbustest.Server
}

// start polls a simulated field until the test ends.
func start(t *testing.T, description, changes string) *rig {
	t.Helper()
	r := &rig{translatortest.New(t), modbustest.New(t, field())}
	cfg := new(Config)
	text := strings.NewReplacer("ADDRESS", r.s.Addr, "TIMEOUT", "200ms", "CHANGES", changes).Replace(description)
	if err := conffile.TOML([]byte(text), cfg); err != nil {
		t.Fatal(err)
	}
	p, err := New(cfg, Options{Translator: r.Options(), Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); run.Wait() })
	return r
}

// says waits for telemetry.
func (r *rig) says(leaf, body string) {
	r.Find(leaf, "", func(m iot.Message) bool { return string(m.Body) == body })
}

const whole = `{"running":true,"alarm":true,"setpoint":21.5,"offset":-2,"pressure":12.5,"temperature":0.3,"energy":131073}`

func TestRegistersBecomeTelemetry(t *testing.T) {
	t.Parallel()
	r := start(t, press, "")
	m := r.Find("press-1", "", nil)
	if string(m.Body) != whole || m.System.Get(iot.ContentType) != "application/json" || m.System.Get(iot.CreationTime) == "" {
		t.Errorf("%s %v", m.Body, m.System)
	}
	r.Capabilities("press-1", translator.Capabilities{Methods: true})
	reported := r.Find("press-1", "LeafReported", nil)
	if !strings.Contains(string(reported.Body), `{"modbus":{"status":"ok","since":"`) || !strings.Contains(string(reported.Body), `"error":null`) {
		t.Errorf("reported %s", reported.Body)
	}
	r.Wait("more of the same", func([]iot.Message) bool { return r.s.Asked() > 30 })
}

func TestOnlyChangesAreSentIfThatIsWanted(t *testing.T) {
	t.Parallel()
	r := start(t, press+"deadband = 100\n", "changes_only = true")
	r.says("press-1", whole)
	before := r.s.Asked()
	for late := time.Now().Add(30 * time.Second); r.s.Asked() < before+20; {
		if time.Now().After(late) {
			t.Fatal("nothing is read any more")
		}
		<-time.After(time.Millisecond)
	}
	r.s.Change(func(units map[byte]*modbustest.Unit) {
		units[1].Holding[0] = 220
		units[1].Input[5] = 50 // within the deadband
	})
	r.says("press-1", `{"setpoint":22}`)
	r.s.Change(func(units map[byte]*modbustest.Unit) { units[1].Input[5], units[1].Coils[0] = 200, false })
	r.says("press-1", `{"running":false,"energy":131272}`)
	if got := r.Bodies("press-1"); len(got) != 3 {
		t.Errorf("sent %q", got)
	}
}

func TestMethodsReadAndWriteWithinBounds(t *testing.T) {
	t.Parallel()
	r := start(t, press, "")
	if status, answer := r.Call("press-1", "read", ""); status != 200 || answer != whole {
		t.Errorf("%d %s", status, answer)
	}
	for _, c := range []struct {
		payload string
		status  int
		says    string
	}{
		{`{"setpoint": 25.04, "running": false, "pressure": -1.5, "offset": -300}`, 200, `"setpoint"`},
		{`{"setpoint": 4.9}`, 400, "setpoint: 4.9 is less than 5"},
		{`{"running": true, "setpoint": 30.1}`, 400, "30.1 is more than 30"},
		{`{"offset": 40000}`, 400, "40000 is more or less than the register can hold"},
		{`{"pressure": 1e300}`, 400, "can hold"},
		{`{"offset": "1"}`, 400, "it takes a number"},
		{`{"offset": null}`, 400, "it takes a number"},
		{`{"running": 2}`, 400, "it takes true or false"},
		{`{"temperature": 1}`, 400, "temperature: it is not writable"},
		{`{"running": true, "nothing": 1}`, 400, `there is no register \"nothing\"`},
		{`{}`, 400, "write takes"}, {`[]`, 400, "write takes"}, {``, 400, "write takes"},
	} {
		if status, answer := r.Call("press-1", "write", c.payload); status != c.status || !strings.Contains(answer, c.says) {
			t.Errorf("%s: %d %s", c.payload, status, answer)
		}
	}
	r.s.Change(func(units map[byte]*modbustest.Unit) {
		u := units[1]
		if u.Coils[0] || u.Holding[0] != 250 || int16(u.Holding[1]) != -300 || math.Float32frombits(uint32(u.Holding[10])<<16|uint32(u.Holding[11])) != -1.5 {
			t.Errorf("the press has %+v", u)
		}
		delete(u.Holding, 1)
	})
	if status, answer := r.Call("press-1", "write", `{"running": true, "offset": 1}`); status != 502 || !strings.Contains(answer, `offset: modbus: the device has nothing at this address","written":["running"]`) {
		t.Errorf("%d %s", status, answer)
	}
	if status, _ := r.Call("press-1", "explode", ""); status != 404 {
		t.Errorf("status %d", status)
	}
	if status, _ := r.Call("press-9", "read", ""); status != 404 {
		t.Errorf("status %d", status)
	}
}

// status waits for what a leaf reports of itself.
func (r *rig) status(leaf, status, text string) {
	r.Find(leaf, "LeafReported", func(m iot.Message) bool {
		return strings.Contains(string(m.Body), `"status":"`+status+`"`) && strings.Contains(string(m.Body), text)
	})
}

func TestADeviceThatDoesNotAnswerIsTold(t *testing.T) {
	t.Parallel()
	r := start(t, press, "")
	r.says("press-1", whole)
	r.s.Mute(true)
	r.s.Cut()
	r.status("press-1", "unreachable", "")
	if status, answer := r.Call("press-1", "read", ""); status != 504 {
		t.Errorf("%d %s", status, answer)
	}
	asked := r.s.Asked()
	r.s.Mute(false)
	before := len(r.Bodies("press-1"))
	r.Wait("telemetry again", func(list []iot.Message) bool {
		n := 0
		for _, m := range list {
			if kind, _ := m.Properties.Get("itmtype"); kind == "" {
				n++
			}
		}
		return n > before
	})
	if n := asked; n > 1000 {
		t.Errorf("%d requests to a device that does not answer", n)
	}
	r.Wait("it to be well again", func(list []iot.Message) bool {
		var last string
		for _, m := range list {
			if kind, _ := m.Properties.Get("itmtype"); kind == "LeafReported" {
				last = string(m.Body)
			}
		}
		return strings.Contains(last, `"status":"ok"`)
	})
}

// A register that the device refuses costs nothing but itself.
func TestARegisterThatIsNotThereIsTold(t *testing.T) {
	t.Parallel()
	r := start(t, strings.Replace(press, `address = 5`, `address = 7`, 1), "")
	r.says("press-1", strings.Replace(whole, `,"energy":131073`, "", 1))
	r.status("press-1", "error", "energy: modbus: the device has nothing at this address")
}

// A unit that is away does not keep those beside it from being read.
func TestAUnitThatIsAwayHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	r := start(t, `
[[devices]]
address = "ADDRESS"
[[devices.units]]
unit = 9
leaf = "away"
interval = "10ms"
registers = [{ name = "x", kind = "holding" }]
[[devices.units]]
unit = 2
leaf = "there"
interval = "10ms"
registers = [{ name = "x", kind = "holding" }]
`, "")
	r.status("away", "unreachable", "the unit behind the device's gateway does not answer")
	r.Wait("the other", func(list []iot.Message) bool { return len(list) > 20 })
	if len(r.Bodies("away")) != 0 || r.Bodies("there")[0] != `{"x":7}` {
		t.Error(r.Bodies("away"), r.Bodies("there"))
	}
}

func TestRequestsAreFew(t *testing.T) {
	var list []*Register
	for i := range 130 {
		list = append(list, &Register{Kind: "holding", Address: i, Type: "uint16"})
	}
	list = append(list, &Register{Kind: "holding", Address: 3, Type: "uint32"}, // overlaps
		&Register{Kind: "holding", Address: 200, Type: "float64"}, &Register{Kind: "coil", Address: 4}, &Register{Kind: "coil", Address: 3})
	slices.Reverse(list)
	var got []block
	for _, b := range blocks(list) {
		b.registers = nil
		got = append(got, b)
	}
	want := []block{{1, 3, 2, nil}, {3, 0, 125, nil}, {3, 125, 5, nil}, {3, 200, 4, nil}}
	if !slices.EqualFunc(got, want, func(a, b block) bool { return a.function == b.function && a.address == b.address && a.count == b.count }) {
		t.Errorf("%+v", got)
	}
}

func TestValuesOfAllTypes(t *testing.T) {
	for _, c := range []struct {
		r    Register
		raw  []uint16
		want string
	}{
		{Register{Type: "uint16", Scale: 1}, []uint16{65535}, "65535"},
		{Register{Type: "int16", Scale: 1}, []uint16{65535}, "-1"},
		{Register{Type: "int16", Scale: 0.1, Offset: -40}, []uint16{3}, "-39.7"},
		{Register{Type: "uint16", Scale: 0.1}, []uint16{3}, "0.3"},
		{Register{Type: "uint32", Scale: 1}, []uint16{1, 2}, "65538"},
		{Register{Type: "uint32", Scale: 1, Order: "low_first"}, []uint16{1, 2}, "131073"},
		{Register{Type: "int32", Scale: 1}, []uint16{65535, 65535}, "-1"},
		{Register{Type: "uint64", Scale: 1}, []uint16{65535, 65535, 65535, 65535}, "18446744073709551615"},
		{Register{Type: "int64", Scale: 1}, []uint16{65535, 65535, 65535, 65535}, "-1"},
		{Register{Type: "float32", Scale: 1}, []uint16{0x3DCC, 0xCCCD}, "0.1"},
		{Register{Type: "float32", Scale: 1}, []uint16{0x7FC0, 0}, "null"},
		{Register{Type: "float64", Scale: 1}, []uint16{0x3FB9, 0x9999, 0x9999, 0x999A}, "0.1"},
		{Register{Type: "float64", Scale: 1}, []uint16{0x7FF0, 0, 0, 0}, "null"},
	} {
		if got := c.r.value(c.raw); got.json != c.want || !json.Valid([]byte(got.json)) {
			t.Errorf("%s %v: %s, not %s", c.r.Type, c.raw, got.json, c.want)
		}
	}
}

// What is written is what is read again, and nothing else is.
func FuzzWrite(f *testing.F) {
	f.Add("21.5", 3, 0.1, 0.0, false)
	f.Add("-1e9", 7, 1.0, 5.0, true)
	types := []string{"uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"}
	f.Fuzz(func(t *testing.T, text string, which int, scale, offset float64, low bool) {
		r := &Register{Name: "x", Kind: "holding", Type: types[uint(which)%8], Scale: scale, Offset: offset, Writable: true}
		if low {
			r.Order = "low_first"
		}
		if len(r.complete(time.Second)) > 0 || !json.Valid([]byte(text)) {
			return
		}
		raw, err := r.registersFrom(json.RawMessage(text))
		if err != nil {
			return
		}
		if again := r.split(r.join(raw)); !slices.Equal(raw, again) || len(raw) != r.width() {
			t.Errorf("%v became %v", raw, again)
		}
		if got := r.value(raw); !json.Valid([]byte(got.json)) {
			t.Errorf("%s became %s", text, got.json)
		}
		var wish float64
		if err := json.Unmarshal([]byte(text), &wish); err != nil {
			t.Fatal(err)
		}
		step := math.Abs(r.Scale)
		if strings.HasPrefix(r.Type, "float") {
			step = 1e-6 * (math.Abs(wish) + math.Abs(r.Offset) + math.SmallestNonzeroFloat32*step)
		}
		if got := r.value(raw); got.json != "null" && math.Abs(got.number-wish) > step+1e-6*(math.Abs(wish)+math.Abs(r.Offset)) {
			t.Errorf("%s as %s, times %v plus %v, is read as %v", text, r.Type, r.Scale, r.Offset, got.number)
		}
	})
}

func TestMistakesInTheDescriptionAreNamed(t *testing.T) {
	const ok = "[[devices]]\naddress = 'a'\n[[devices.units]]\nleaf = 'x'\n[[devices.units.registers]]\nname = 'r'\nkind = 'holding'\n"
	for _, c := range []struct{ text, want string }{
		{"", "there are no devices"},
		{"[[devices]]\naddress = 'a'", `device "a:502": it has no units`},
		{"[[devices]]", "address is a host, or host:port"},
		{ok + "adress = 1", `line 8: unknown key "devices.units.registers.adress"; did you mean "devices.units.registers.address"?`},
		{ok + "type = 'int'", `device "a:502": unit 0: register "r": type is "int"; it is uint16,`},
		{ok + "address = 40001\ntype='uint64'\n[[devices.units.registers]]\nname = 'r'\nkind = 'coil'", `register "r" is there twice`},
		{ok + "address = 65535\ntype='uint32'", "address is 0 to 65535, as on the wire: 40001 in a manual is holding 0"},
		{ok + "interval = '5'", `interval is "5"; it is a time of 10ms to 24h`},
		{ok + "min = 1", "min and max are for writing"},
		{ok + "writable = true\nmin = 2\nmax = 1", "min is greater than max"},
		{ok + "order = 'big'", `order is "big"; it is "high_first" or "low_first"`},
		{ok + "deadband = -1", "deadband cannot be negative"},
		{ok + "scale = inf", "finite numbers"},
		{ok + "[[devices.units.registers]]\nname = 'c'\nkind = 'coil'\nscale = 2.0", "a coil is true or false"},
		{ok + "[[devices.units.registers]]\nname = 'c'\nkind = 'input'\nwritable = true", "only a coil or holding register is writable"},
		{ok + "[[devices.units]]\nleaf = 'x'\nunit = 300\nregisters = [{name = 'r', kind = 'coil'}]", "unit is 0 to 255"},
		{ok + "[[devices.units]]\nleaf = 'x'\nunit = 3\nregisters = [{name = 'r', kind = 'coil'}]", `another unit is the leaf "x"`},
	} {
		file := t.TempDir() + "/field.toml"
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(file); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "field.toml: ") {
			t.Errorf("%s: %v", c.text, err)
		}
	}
	cfg := new(Config)
	if err := conffile.TOML([]byte(Example), cfg); err != nil || cfg.complete() != nil {
		t.Error("the example:", err, cfg.complete())
	}
	bad := &Config{Devices: []Device{{Address: "a", Units: []Unit{{Leaf: "a/b", Registers: []Register{{Name: "r", Kind: "coil"}}}}}}}
	if _, err := New(bad, Options{Translator: translatortest.New(t).Options()}); iot.KindOf(err) != iot.Invalid {
		t.Errorf("a leaf that cannot be: %v", err)
	}
}
