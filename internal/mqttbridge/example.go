package mqttbridge

import _ "embed"

// Example is a commented configuration, which is that of an empty file.
//
//go:embed example.toml
var Example string
