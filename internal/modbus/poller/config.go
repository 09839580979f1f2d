package poller

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net"
	"time"

	"sluice/internal/conffile"
	"sluice/internal/modbus"
)

// Config describes the field.
type Config struct {
	Devices []Device `toml:"devices" json:"devices"`
}

// Device is an address at which there are units.
type Device struct {
	Address string `toml:"address" json:"address"` // host:port; the port is 502 if left out
	Timeout string `toml:"timeout" json:"timeout"` // of an answer: "2s"
	Units   []Unit `toml:"units" json:"units"`

	timeout time.Duration
}

// Unit is one slave, and one leaf.
type Unit struct {
	Unit        int        `toml:"unit" json:"unit"`                 // 0 to 255
	Leaf        string     `toml:"leaf" json:"leaf"`                 // its device id at the hub
	Interval    string     `toml:"interval" json:"interval"`         // between readings: "10s"
	ChangesOnly bool       `toml:"changes_only" json:"changes_only"` // send what changed, and nothing else
	Registers   []Register `toml:"registers" json:"registers"`
}

// Register is a value of a unit.
type Register struct {
	Name string `toml:"name" json:"name"`
	// Kind is coil, discrete (input), holding or input (register).
	Kind    string `toml:"kind" json:"kind"`
	Address int    `toml:"address" json:"address"` // as on the wire, from 0
	// Type of registers is uint16, int16, uint32, int32, uint64, int64, float32 or
	// float64. Of several registers the first is the most significant, unless Order
	// is low_first.
	Type  string `toml:"type" json:"type"`
	Order string `toml:"order" json:"order"`
	// The value is what is read, times Scale, plus Offset.
	Scale    float64 `toml:"scale" json:"scale"`
	Offset   float64 `toml:"offset" json:"offset"`
	Interval string  `toml:"interval" json:"interval"` // the unit's if left out
	// Deadband is by how much a value has to differ to have changed.
	Deadband float64 `toml:"deadband" json:"deadband"`
	// Writable lets the method write set it, to no less than Min and no more than
	// Max, if these are given.
	Writable bool     `toml:"writable" json:"writable"`
	Min      *float64 `toml:"min" json:"min"`
	Max      *float64 `toml:"max" json:"max"`

	interval time.Duration
}

// The defaults of a description.
const (
	DefaultPort     = "502"
	DefaultTimeout  = 2 * time.Second
	DefaultInterval = 10 * time.Second
)

// minInterval is the shortest time between two readings.
const minInterval = 10 * time.Millisecond

// Load reads a description, in TOML, or in JSON if its name ends in .json.
func Load(file string) (*Config, error) {
	c := new(Config)
	if err := conffile.Load(file, c); err != nil {
		return nil, err
	}
	if err := c.complete(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

// complete sets defaults, and reports all that is wrong.
func (c *Config) complete() error {
	var wrong []error
	if len(c.Devices) == 0 {
		wrong = append(wrong, errors.New("there are no devices"))
	}
	leaves := make(map[string]bool)
	for i := range c.Devices {
		d := &c.Devices[i]
		for _, err := range d.complete(leaves) {
			wrong = append(wrong, fmt.Errorf("device %q: %w", d.Address, err))
		}
	}
	return errors.Join(wrong...)
}

func (d *Device) complete(leaves map[string]bool) (wrong []error) {
	if _, _, err := net.SplitHostPort(d.Address); err != nil {
		d.Address = net.JoinHostPort(d.Address, DefaultPort)
	}
	if host, _, err := net.SplitHostPort(d.Address); err != nil || host == "" {
		wrong = append(wrong, errors.New("address is a host, or host:port"))
	}
	var err error
	if d.timeout, err = duration("timeout", d.Timeout, DefaultTimeout); err != nil {
		wrong = append(wrong, err)
	}
	if len(d.Units) == 0 {
		wrong = append(wrong, errors.New("it has no units"))
	}
	for i := range d.Units {
		u := &d.Units[i]
		for _, err := range u.complete() {
			wrong = append(wrong, fmt.Errorf("unit %d: %w", u.Unit, err))
		}
		if leaves[u.Leaf] {
			wrong = append(wrong, fmt.Errorf("unit %d: another unit is the leaf %q", u.Unit, u.Leaf))
		}
		leaves[u.Leaf] = true
	}
	return wrong
}

func (u *Unit) complete() (wrong []error) {
	interval, err := duration("interval", u.Interval, DefaultInterval)
	if err != nil {
		wrong = append(wrong, err)
	}
	if u.Unit < 0 || u.Unit > 255 {
		wrong = append(wrong, errors.New("unit is 0 to 255"))
	}
	if u.Leaf == "" {
		wrong = append(wrong, errors.New("leaf is missing: its device id at the hub"))
	}
	if len(u.Registers) == 0 {
		wrong = append(wrong, errors.New("it has no registers"))
	}
	names := make(map[string]bool)
	for i := range u.Registers {
		r := &u.Registers[i]
		for _, err := range r.complete(interval) {
			wrong = append(wrong, fmt.Errorf("register %q: %w", r.Name, err))
		}
		if names[r.Name] {
			wrong = append(wrong, fmt.Errorf("register %q is there twice", r.Name))
		}
		names[r.Name] = true
	}
	return wrong
}

// kinds are the kinds of registers, and how they are read.
var kinds = map[string]modbus.Function{
	"coil": modbus.ReadCoils, "discrete": modbus.ReadDiscreteInputs,
	"holding": modbus.ReadHoldingRegisters, "input": modbus.ReadInputRegisters,
}

// widths are how many registers the types take.
var widths = map[string]int{
	"uint16": 1, "int16": 1, "uint32": 2, "int32": 2, "uint64": 4, "int64": 4, "float32": 2, "float64": 4,
}

func (r *Register) bit() bool { return r.Kind == "coil" || r.Kind == "discrete" }

// width is how many bits or registers it takes.
func (r *Register) width() int {
	if r.bit() {
		return 1
	}
	return widths[r.Type]
}

func (r *Register) complete(interval time.Duration) (wrong []error) {
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	var err error
	r.interval, err = duration("interval", r.Interval, interval)
	if err != nil {
		wrong = append(wrong, err)
	}
	refuse(r.Name == "", "name is missing")
	_, known := kinds[r.Kind]
	refuse(!known, `kind is %q; it is "coil", "discrete", "holding" or "input"`, r.Kind)
	if r.bit() {
		refuse(r.Type != "" && r.Type != "bool" || r.Order != "" || r.Scale != 0 || r.Offset != 0 || r.Deadband != 0 || r.Min != nil || r.Max != nil,
			"a %s is true or false: it has no type, order, scale, offset, deadband, min or max", r.Kind)
	} else {
		r.Type = cmp.Or(r.Type, "uint16")
		r.Scale = cmp.Or(r.Scale, 1)
		refuse(widths[r.Type] == 0, "type is %q; it is uint16, int16, uint32, int32, uint64, int64, float32 or float64", r.Type)
	}
	refuse(r.Order != "" && r.Order != "high_first" && r.Order != "low_first", `order is %q; it is "high_first" or "low_first"`, r.Order)
	refuse(r.Address < 0 || r.Address+r.width() > 1<<16, "address is 0 to 65535, as on the wire: 40001 in a manual is holding 0")
	refuse(r.Writable && r.Kind != "coil" && r.Kind != "holding", "only a coil or holding register is writable")
	refuse(!r.Writable && (r.Min != nil || r.Max != nil), "min and max are for writing, but it is not writable")
	refuse(r.Min != nil && r.Max != nil && *r.Min > *r.Max, "min is greater than max")
	for _, v := range []float64{r.Scale, r.Offset, r.Deadband} {
		refuse(math.IsNaN(v) || math.IsInf(v, 0), "scale, offset and deadband are finite numbers")
	}
	refuse(r.Deadband < 0, "deadband cannot be negative")
	return wrong
}

func duration(key, text string, standard time.Duration) (time.Duration, error) {
	if text == "" {
		return standard, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < minInterval || d > 24*time.Hour {
		return 0, fmt.Errorf("%s is %q; it is a time of 10ms to 24h, such as 5s or 500ms", key, text)
	}
	return d, nil
}
