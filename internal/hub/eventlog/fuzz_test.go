package eventlog

import (
	"bytes"
	"testing"

	"sluice/internal/hub/storage"
	"sluice/iot"
)

// seedRecord is a record as the log writes it.
func seedRecord(t testing.TB, sequence uint64, m iot.Message) (key, value []byte) {
	t.Helper()
	data, _, err := encode([]iot.Message{m})
	if err != nil {
		t.Fatal(err)
	}
	key = eventKey(3, sequence)
	value = make([]byte, headerLen+len(data))
	putRecord(value, key, header{source: storage.Telemetry, enqueued: 1_700_000_000_000_000, latest: 1_700_000_000_000_001, offset: 12345}, data)
	return key, value
}

// FuzzRecord reads what may be on a disk: no bytes make it panic, and nothing is
// taken for an event that the log cannot have written.
func FuzzRecord(f *testing.F) {
	for _, m := range []iot.Message{{}, message("21.5"), message(string(make([]byte, 3000)))} {
		key, value := seedRecord(f, 7, m)
		f.Add(key, value, true)
		f.Add(key, value, false)
		f.Add(key[:5], value, true)
		f.Add(key, value[:headerLen-1], true)
	}
	f.Add([]byte{}, []byte{}, true)
	f.Add(metaKey(3), mark{1, 2, 3}.appendMeta(nil), false)
	f.Fuzz(func(t *testing.T, key, value []byte, correct bool) {
		if correct && len(value) >= 4 { // past the checksum, to what stands behind it
			c := checksum(key, value[4:])
			value = append([]byte{byte(c >> 24), byte(c >> 16), byte(c >> 8), byte(c)}, value[4:]...)
		}
		if m, err := parseMeta(value); err == nil && !bytes.Equal(m.appendMeta(nil), value) {
			t.Errorf("parseMeta(%x) = %+v, which is written otherwise", value, m)
		}
		e, err := parseEvent(3, key, value)
		if err != nil {
			return
		}
		data, _, err := encode([]iot.Message{e.Message})
		if err != nil {
			t.Fatal(err)
		}
		h, body, err := parseRecord(key, value)
		if err != nil || !bytes.Equal(body, data) {
			t.Errorf("an event whose message is stored as %x is read from %x, %v", data, body, err)
		}
		again := make([]byte, headerLen+len(data))
		putRecord(again, key, h, data)
		if !bytes.Equal(again, value) {
			t.Errorf("read from %x, written as %x", value, again)
		}
	})
}

// D8: every flipped bit of a record is noticed.
func TestD8_EveryBitOfARecordCounts(t *testing.T) {
	key, value := seedRecord(t, 7, message("21.5"))
	for i := range 8 * (len(key) + len(value)) {
		k, v := bytes.Clone(key), bytes.Clone(value)
		if byteAt := i / 8; byteAt < len(k) {
			k[byteAt] ^= 1 << (i % 8)
		} else {
			v[byteAt-len(k)] ^= 1 << (i % 8)
		}
		if e, err := parseEvent(3, k, v); err == nil {
			t.Fatalf("bit %d flipped: read as %+v", i, e)
		}
	}
	for n := range value {
		if _, err := parseEvent(3, key, value[:n]); err == nil {
			t.Fatalf("cut after %d bytes: read", n)
		}
	}
	if _, err := parseEvent(3, key, value); err != nil {
		t.Fatalf("whole: %v", err)
	}
}
