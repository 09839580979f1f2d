package amqphead

import (
	"bytes"
	"encoding/json"
	"strconv"

	"sluice/iot"
)

// twinDocument is a twin as its device reads it.
func twinDocument(t iot.Twin) []byte {
	b := make([]byte, 0, len(t.Desired)+len(t.Reported)+80)
	b = append(b, `{"desired":`...)
	b = appendVersioned(b, t.Desired, t.DesiredVersion)
	b = append(b, `,"reported":`...)
	b = appendVersioned(b, t.Reported, t.ReportedVersion)
	return append(b, '}')
}

// appendVersioned appends a JSON object with its version as the last member.
func appendVersioned(b []byte, object json.RawMessage, version int64) []byte {
	members := bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(object), []byte("}")))
	if len(members) == 0 {
		members = []byte("{")
	}
	b = append(b, members...)
	if len(members) > 1 {
		b = append(b, ',')
	}
	b = append(b, `"$version":`...)
	b = strconv.AppendInt(b, version, 10)
	return append(b, '}')
}

// twinError is the body of an answer that is an error, which SDKs parse as JSON.
// The code is the status and three digits, as IoT Hub's are.
func twinError(err error) []byte {
	body, _ := json.Marshal(struct { // strings and numbers always can be
		Code    int    `json:"errorCode"`
		Message string `json:"message"`
	}{iot.KindOf(err).HTTPStatus()*1000 + 1, explain(err)})
	return body
}
