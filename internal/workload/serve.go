package workload

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"

	"sluice/internal/sas"
	"sluice/iot"
)

// An operation answers one kind of request of one module.
type operation struct {
	method string
	open   bool // to everybody who can open the socket
	status int
	do     func(*API, *http.Request, call) (any, error)
}

var operations = map[string]operation{
	"sign":                        {method: "POST", status: http.StatusOK, do: (*API).sign},
	"encrypt":                     {method: "POST", status: http.StatusOK, do: (*API).encrypt},
	"decrypt":                     {method: "POST", status: http.StatusOK, do: (*API).decrypt},
	"certificate/server":          {method: "POST", status: http.StatusCreated, do: (*API).serverCertificate},
	"module/certificate/identity": {method: "POST", status: http.StatusCreated, do: (*API).identityCertificate},
	"trust-bundle":                {method: "GET", open: true, status: http.StatusOK, do: (*API).trustBundle},
	"manifest-trust-bundle":       {method: "GET", open: true, status: http.StatusOK, do: (*API).manifestTrustBundle},
}

// serve answers a request that came over the socket of module. member tells that it
// came from a process of the module.
func (a *API) serve(w http.ResponseWriter, r *http.Request, module string, member bool) {
	status, body, err := a.answer(r, module, member)
	if err == nil {
		answer(w, status, body)
		return
	}
	var no *refusal
	if !errors.As(err, &no) {
		no = &refusal{http.StatusInternalServerError, err.Error()}
	}
	a.opt.Log.Warn("workload API", "module", module, "method", r.Method, "path", r.URL.Path, "status", no.status, "err", no.text)
	answer(w, no.status, map[string]string{"message": no.text})
}

func (a *API) answer(r *http.Request, module string, member bool) (int, any, error) {
	c, err := parseCall(r.URL)
	if err != nil {
		return 0, nil, err
	}
	op, ok := operations[c.op]
	switch {
	case !ok:
		return 0, nil, errNotFound
	case op.open && c.module != "", !op.open && c.module == "":
		return 0, nil, errNotFound
	case r.Method != op.method:
		return 0, nil, errMethod
	}
	if err := checkVersion(r.URL.Query()); err != nil {
		return 0, nil, err
	}
	if !op.open && (!member || c.module != module) {
		return 0, nil, errForbidden
	}
	body, err := op.do(a, r, c)
	return op.status, body, err
}

// sign signs with the module's key. The generation is not compared, as it is not in
// IoT Edge: a module whose identity was made again goes on with its new key.
func (a *API) sign(r *http.Request, c call) (any, error) {
	var q struct {
		Data *string `json:"data"`
	}
	if err := readJSON(r, &q); err != nil {
		return nil, err
	}
	data, err := binary("data", q.Data)
	if err != nil {
		return nil, err
	}
	key, _, err := a.key(r.Context(), c.module)
	if err != nil {
		return nil, err
	}
	raw, err := sas.DecodeKey(key)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, raw)
	mac.Write(data)
	return map[string]string{"digest": base64.StdEncoding.EncodeToString(mac.Sum(nil))}, nil
}

func (a *API) key(ctx context.Context, module string) (key iot.Secret, generation string, err error) {
	key, generation, ok := a.opt.Keys(ctx, module)
	switch {
	case !ok:
		return "", "", errors.New("the hub knows no such module of this device, or has not been asked yet")
	case key == "":
		return "", "", errors.New("the module has no symmetric key at the hub")
	}
	return key, generation, nil
}
