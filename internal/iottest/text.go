package iottest

import (
	"fmt"
	"strings"

	"sluice/internal/sas"
	"sluice/iot"
)

// Proof is what credentials show, as it is noted: a shared access signature by whom it is
// for and when it ends, any other token as it stands, certificates by their number.
func Proof(c iot.Credentials) string {
	text := "token=" + c.Token
	if token, err := sas.Parse(c.Token); err == nil {
		text = fmt.Sprintf("token=%v/%s", token.Resource.Identity, token.Expiry.UTC().Format("15:04:05"))
	}
	if c.Token == "" {
		text = fmt.Sprintf("certificates=%d", len(c.Certificates))
	}
	if c.AuthChain != "" {
		text += " chain=" + c.AuthChain
	}
	return text
}

func clientText(c iot.Client) string {
	text := fmt.Sprintf("%s api=%s", c.Protocol, c.APIVersion)
	if c.Product != "" {
		text += fmt.Sprintf(" product=%q", c.Product)
	}
	if c.ModelID != "" {
		text += " model=" + c.ModelID
	}
	return text
}

// Message is a message's body and its properties, the system ones by their names
// with a dollar sign.
func Message(m *iot.Message) string {
	var b strings.Builder
	b.WriteString(Body(m.Body))
	for _, v := range m.System {
		fmt.Fprintf(&b, " $%v=%q", v.Name, v.Value)
	}
	for _, p := range m.Properties {
		fmt.Fprintf(&b, " %s=%q", p.Key, p.Value)
	}
	return b.String()
}

// Body is a message's body, or its size when it is long.
func Body(body []byte) string {
	if len(body) > 200 {
		return fmt.Sprintf("(%d bytes)", len(body))
	}
	return string(body)
}
