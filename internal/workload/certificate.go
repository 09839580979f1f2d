package workload

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"sluice/internal/pki"
)

// certificateLife is how long modules' certificates are valid, as in IoT Edge. What
// a request asks for is not looked at, as it is not there.
const certificateLife = 30 * 24 * time.Hour

// maxCommonName is the most characters that a common name has [RFC 5280].
const maxCommonName = 64

type certificateAnswer struct {
	PrivateKey  privateKey `json:"privateKey"`
	Certificate string     `json:"certificate"` // leaf first, and the authorities above it
	Expiration  string     `json:"expiration"`
}

type privateKey struct {
	Type  string `json:"type"`
	Bytes string `json:"bytes"`
}

// serverCertificate makes a certificate for a server that a module is, by the name
// that it asks for and its own.
func (a *API) serverCertificate(r *http.Request, c call) (any, error) {
	var q struct {
		CommonName *string `json:"commonName"`
	}
	if err := readJSON(r, &q); err != nil {
		return nil, err
	}
	switch {
	case q.CommonName == nil:
		return nil, refuse(http.StatusUnprocessableEntity, "missing field `commonName`")
	case len(*q.CommonName) > maxCommonName:
		return nil, refuse(http.StatusBadRequest, "invalid parameter: commonName: longer than %d characters", maxCommonName)
	}
	return a.issue(r, func(ca *pki.Authority, opt pki.Options) (*pki.Pair, error) {
		pair, err := ca.Server([]string{*q.CommonName, strings.TrimPrefix(c.module, "$")}, opt)
		if errors.Is(err, pki.ErrBadName) { // of the module, perhaps
			pair, err = ca.Server([]string{*q.CommonName}, opt)
		}
		return pair, err
	})
}

// identityCertificate makes a certificate by which a module can show others who it
// is. Its common name has a slash in it, which no device id has: a module called as
// a device cannot come as that device.
func (a *API) identityCertificate(r *http.Request, c call) (any, error) {
	return a.issue(r, func(ca *pki.Authority, opt pki.Options) (*pki.Pair, error) {
		opt.CommonName = "modules/" + c.module
		if len(opt.CommonName) > maxCommonName {
			return nil, refuse(http.StatusBadRequest, "the module's name is too long for a certificate")
		}
		return ca.Device(c.module, opt)
	})
}

// issue makes a certificate with a new RSA key, which old clients read too. Making
// one takes a processor's time, so there is one at a time.
func (a *API) issue(r *http.Request, make func(*pki.Authority, pki.Options) (*pki.Pair, error)) (any, error) {
	if a.opt.Authority == nil {
		return nil, errors.New("the gateway has no authority to sign certificates with")
	}
	select {
	case a.issuing <- struct{}{}:
		defer func() { <-a.issuing }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	ca, err := a.opt.Authority()
	if err != nil {
		return nil, err
	}
	pair, err := make(ca, pki.Options{Key: pki.RSA2048, Valid: certificateLife})
	switch {
	case errors.Is(err, pki.ErrBadName):
		return nil, refuse(http.StatusBadRequest, "invalid parameter: commonName: %v", err)
	case err != nil:
		return nil, err
	}
	key, err := pair.KeyPEM()
	if err != nil {
		return nil, err
	}
	return certificateAnswer{
		PrivateKey:  privateKey{"key", string(key)},
		Certificate: string(pair.CertPEM()),
		Expiration:  pair.Leaf().NotAfter.UTC().Format("2006-01-02T15:04:05+00:00"),
	}, nil
}

func (a *API) trustBundle(*http.Request, call) (any, error) {
	if a.opt.Trust == nil {
		return nil, errNotFound
	}
	pem, err := a.opt.Trust()
	if err != nil || len(pem) == 0 {
		return nil, errNotFound
	}
	return map[string]string{"certificate": string(pem)}, nil
}

// manifestTrustBundle is of signed deployments, which there are none of.
func (*API) manifestTrustBundle(*http.Request, call) (any, error) {
	return map[string]string{"certificate": ""}, nil
}
