package config

import (
	"encoding/base64"
	"os"
	"strings"

	"sluice/internal/sas"
	"sluice/iot"
)

// keyFile reads a symmetric key from a file: raw bytes, as IoT Edge's key
// service keeps them, or base64 text.
func (p *problems) keyFile(name, path string) iot.Secret {
	if path == "" {
		return ""
	}
	data, err := os.ReadFile(path)
	if err != nil {
		p.add(0, "%s: %v", name, err)
		return ""
	}
	if text := iot.Secret(strings.TrimSpace(string(data))); len(data) > 40 {
		if _, err := sas.DecodeKey(text); err == nil {
			return text
		}
	}
	if len(data) == 0 {
		p.add(0, "%s: %s is empty", name, path)
	}
	return iot.Secret(base64.StdEncoding.EncodeToString(data))
}
