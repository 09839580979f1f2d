package blob

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"time"
)

// version is that of the signatures, and of the requests.
const version = "2018-11-09"

// Permissions, in the order in which a signature must name them.
const (
	Read      = "r"
	ReadWrite = "rw"
	All       = "racwdl"
)

// SignBlob returns the query, without its question mark, that allows its holder to
// use one blob until a time.
func (a Account) SignBlob(container, blob, permissions string, until time.Time) string {
	return a.signService("b", "/"+container+"/"+blob, permissions, until)
}

// SignContainer is SignBlob for all blobs of a container.
func (a Account) SignContainer(container, permissions string, until time.Time) string {
	return a.signService("c", "/"+container, permissions, until)
}

func (a Account) signService(kind, path, permissions string, until time.Time) string {
	expiry := stamp(until)
	sig := a.sign(
		permissions,
		"", // start
		expiry,
		"/blob/"+a.Name+path,
		"", // identifier of a stored policy
		"", // addresses
		"", // protocols
		version,
		kind,
		"",                 // snapshot
		"", "", "", "", "", // headers of the answer
	)
	return url.Values{"sv": {version}, "sr": {kind}, "sp": {permissions}, "se": {expiry}, "sig": {sig}}.Encode()
}

// signAccount returns the query that allows everything with containers and blobs.
func (a Account) signAccount(until time.Time) string {
	expiry := stamp(until)
	sig := a.sign(a.Name, All, "b", "co", "", expiry, "", "", version, "")
	return url.Values{"sv": {version}, "ss": {"b"}, "srt": {"co"}, "sp": {All}, "se": {expiry}, "sig": {sig}}.Encode()
}

func (a Account) sign(lines ...string) string {
	h := hmac.New(sha256.New, a.key)
	h.Write([]byte(strings.Join(lines, "\n")))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// stamp writes a time as signatures have it. Rounded down: nothing is allowed for
// longer than was said.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
