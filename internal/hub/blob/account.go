package blob

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"sluice/internal/sas"
	"sluice/iot"
)

// The account of the emulator, the same on every machine.
const (
	devName = "devstoreaccount1"
	devKey  = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
	devHost = "http://127.0.0.1:10000/" + devName
)

// An Account is a storage account.
type Account struct {
	Name     string
	Endpoint *url.URL // of its blobs, without a slash at its end
	key      []byte
}

// ErrAccount wraps every error of ParseAccount.
var ErrAccount = errors.New("connection string of a storage account")

// ParseAccount reads a connection string: that of the portal, with AccountName,
// AccountKey and perhaps BlobEndpoint, or UseDevelopmentStorage=true, perhaps with
// DevelopmentStorageProxyUri.
func ParseAccount(text string) (Account, error) {
	fields := map[string]string{}
	for part := range strings.SplitSeq(text, ";") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case name == "" && !ok:
		case !ok:
			return Account{}, fmt.Errorf("%w: a part of it has no =", ErrAccount)
		default:
			fields[strings.ToLower(name)] = value
		}
	}
	if strings.EqualFold(fields["usedevelopmentstorage"], "true") {
		return account(devName, devKey, development(fields["developmentstorageproxyuri"]))
	}
	if fields["accountname"] == "" || fields["accountkey"] == "" {
		return Account{}, fmt.Errorf("%w: it needs AccountName and AccountKey, or UseDevelopmentStorage=true", ErrAccount)
	}
	return account(fields["accountname"], fields["accountkey"], endpoint(fields))
}

// development is where the emulator's blobs are.
func development(proxy string) string {
	if proxy == "" {
		return devHost
	}
	return strings.TrimSuffix(proxy, "/") + ":10000/" + devName
}

// endpoint is where the blobs of an account are.
func endpoint(fields map[string]string) string {
	if given := fields["blobendpoint"]; given != "" {
		return given
	}
	scheme, suffix := fields["defaultendpointsprotocol"], fields["endpointsuffix"]
	if scheme == "" {
		scheme = "https"
	}
	if suffix == "" {
		suffix = "core.windows.net"
	}
	return scheme + "://" + fields["accountname"] + ".blob." + suffix
}

func account(name, key, endpoint string) (Account, error) {
	a := Account{Name: name}
	var err error
	if a.key, err = sas.DecodeKey(iot.Secret(key)); err != nil {
		return a, fmt.Errorf("%w: AccountKey: %w", ErrAccount, err)
	}
	a.Endpoint, err = url.Parse(strings.TrimSuffix(endpoint, "/"))
	if err != nil || a.Endpoint.Host == "" || a.Endpoint.Scheme != "http" && a.Endpoint.Scheme != "https" || a.Endpoint.RawQuery != "" {
		return a, fmt.Errorf("%w: %q is not where blobs can be", ErrAccount, endpoint)
	}
	return a, nil
}

// Host is what stands between https:// and the container in the address of a blob.
// The emulator's has a path, with the account in it.
func (a Account) Host() string { return a.Endpoint.Host + a.Endpoint.Path }
