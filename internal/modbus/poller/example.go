package poller

import _ "embed"

// Example is a commented description of a field.
//
//go:embed example.toml
var Example string
