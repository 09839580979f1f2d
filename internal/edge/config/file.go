package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"sluice/internal/spelling"

	"github.com/pelletier/go-toml/v2"
)

// file is config.toml as it stands.
type file struct {
	Hostname          string       `toml:"hostname"`
	ParentHostname    string       `toml:"parent_hostname"`
	LocalGateway      string       `toml:"local_gateway_hostname"` // older name of the same
	TrustBundleCert   string       `toml:"trust_bundle_cert"`
	Provisioning      provisioning `toml:"provisioning"`
	EdgeCA            edgeCA       `toml:"edge_ca"`
	Sluice            sluice       `toml:"sluice"`
	ignoredByIntent                // IoT Edge's keys about containers and its own daemons
	ManifestTrustCert any          `toml:"manifest_trust_bundle_cert"`
}

type provisioning struct {
	Source           string         `toml:"source"`
	ConnectionString string         `toml:"connection_string"`
	HubHostname      string         `toml:"iothub_hostname"`
	DeviceID         string         `toml:"device_id"`
	Authentication   authentication `toml:"authentication"`
	Attestation      any            `toml:"attestation"`
	GlobalEndpoint   any            `toml:"global_endpoint"`
	IDScope          any            `toml:"id_scope"`
	Payload          any            `toml:"payload"`
}

type authentication struct {
	Method       string   `toml:"method"`
	DeviceIDPK   keyValue `toml:"device_id_pk"`
	IdentityCert any      `toml:"identity_cert"`
	IdentityPK   any      `toml:"identity_pk"`
}

type keyValue struct {
	Value string `toml:"value"`
	URI   string `toml:"uri"`
}

type edgeCA struct {
	Cert     string `toml:"cert"`
	PK       string `toml:"pk"`
	Method   any    `toml:"method"`
	Subject  any    `toml:"subject"`
	Days     any    `toml:"auto_generated_edge_ca_expiry_days"`
	Renew    any    `toml:"auto_renew"`
	Name     any    `toml:"common_name"`
	Expiry   any    `toml:"expiry_days"`
	URL      any    `toml:"url"`
	Username any    `toml:"username"`
	Password any    `toml:"password"`
}

type sluice struct {
	DataDir    string `toml:"data_dir"`
	LogLevel   string `toml:"log_level"`
	Deployment string `toml:"deployment"`
	Listen     struct {
		Address string `toml:"address"`
		MQTT    *int   `toml:"mqtt_port"`
		AMQP    *int   `toml:"amqp_port"`
		HTTPS   *int   `toml:"https_port"`
	} `toml:"listen"`
	TLS struct {
		Cert     string   `toml:"cert"`
		Key      string   `toml:"key"`
		Names    []string `toml:"names"`
		DeviceCA string   `toml:"device_ca"`
	} `toml:"tls"`
	Hub struct {
		Address   string `toml:"address"`
		CA        string `toml:"ca"`
		Protocol  string `toml:"upstream_protocol"`
		AMQPPort  *int   `toml:"amqp_port"`
		MQTTPort  *int   `toml:"mqtt_port"`
		HTTPSPort *int   `toml:"https_port"`

		ScopeRefresh *int64 `toml:"scope_refresh_secs"`
	} `toml:"hub"`
	Storage struct {
		MaxBytes   *int64 `toml:"max_bytes"`
		MinFree    *int64 `toml:"min_free_bytes"`
		TimeToLive *int64 `toml:"time_to_live_secs"`
	} `toml:"storage"`
	Metrics metrics `toml:"metrics"`
	Limits  limits  `toml:"limits"`
}

type ignoredByIntent struct {
	AllowElevated     any `toml:"allow_elevated_docker_permissions"`
	AutoReprovision   any `toml:"auto_reprovisioning_mode"`
	ImportedMasterKey any `toml:"imported_master_encryption_key"`
	AdditionalInfo    any `toml:"additional_info"`
	PreferCache       any `toml:"prefer_module_identity_cache"`
	CloudTimeout      any `toml:"cloud_timeout_sec"`
	CloudRetries      any `toml:"cloud_retries"`
	EdgeRequests      any `toml:"iotedge_max_requests"`
	AziotRequests     any `toml:"aziot_max_requests"`
	CertIssuance      any `toml:"cert_issuance"`
	PreloadedKeys     any `toml:"preloaded_keys"`
	PreloadedCerts    any `toml:"preloaded_certs"`
	AziotKeys         any `toml:"aziot_keys"`
	TPM               any `toml:"tpm"`
	LocalID           any `toml:"localid"`
	Agent             any `toml:"agent"` // but for agent.env.UpstreamProtocol
	Connect           any `toml:"connect"`
	Listen            any `toml:"listen"`
	Watchdog          any `toml:"watchdog"`
	Moby              any `toml:"moby_runtime"`
	ImageGC           any `toml:"image_garbage_collection"`
}

// decode reads the file and lists the keys that have no effect.
func decode(data []byte) (*file, []string, error) {
	f := new(file)
	d := toml.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(f)
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		p := problems{}
		for _, e := range unknown.Errors {
			line, _ := e.Position()
			p.add(line, "unknown key %q%s", strings.Join(e.Key(), "."), suggestion(e.Key()))
		}
		return nil, nil, p.err()
	case errors.As(err, &wrong):
		p := problems{}
		line, _ := wrong.Position()
		text := strings.TrimPrefix(wrong.Error(), "toml: ")
		if key := strings.Join(wrong.Key(), "."); key != "" {
			text = key + ": " + text
		}
		p.add(line, "%s", text)
		return nil, nil, p.err()
	case err != nil:
		return nil, nil, err
	}
	return f, ignored(reflect.ValueOf(f).Elem(), ""), nil
}

// ignored lists the keys that are set and whose value nobody reads: those of
// type any.
func ignored(v reflect.Value, prefix string) (keys []string) {
	for i := range v.NumField() {
		field, value := v.Type().Field(i), v.Field(i)
		key := prefix + field.Tag.Get("toml")
		switch {
		case field.Anonymous:
			keys = append(keys, ignored(value, prefix)...)
		case value.Kind() == reflect.Struct:
			keys = append(keys, ignored(value, key+".")...)
		case value.Kind() == reflect.Interface && !value.IsNil():
			keys = append(keys, key)
		}
	}
	return keys
}

// known lists all keys that there are, for suggestions.
func known(t reflect.Type, prefix string) (keys []string) {
	for i := range t.NumField() {
		field := t.Field(i)
		key := prefix + field.Tag.Get("toml")
		switch {
		case field.Anonymous:
			keys = append(keys, known(field.Type, prefix)...)
		case field.Type.Kind() == reflect.Struct:
			keys = append(append(keys, key), known(field.Type, key+".")...)
		default:
			keys = append(keys, key)
		}
	}
	return keys
}

// suggestion names the key that was probably meant.
func suggestion(key []string) string {
	best := spelling.Nearest(strings.Join(key, "."), known(reflect.TypeFor[file](), ""), func(k string) bool {
		return k[strings.LastIndexByte(k, '.')+1:] == key[len(key)-1] // the right key in the wrong table
	})
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}
