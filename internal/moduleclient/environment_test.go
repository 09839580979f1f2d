package moduleclient

import (
	"maps"
	"strings"
	"testing"

	"sluice/iot"
)

// edgeVariables are what IoT Edge sets for a module.
func edgeVariables() map[string]string {
	return map[string]string{
		"IOTEDGE_WORKLOADURI": "unix:///var/run/iotedge/workload.sock", "IOTEDGE_AUTHSCHEME": "sasToken",
		"IOTEDGE_MODULEGENERATIONID": "638", "IOTEDGE_IOTHUBHOSTNAME": "Hub.azure-devices.net",
		"IOTEDGE_GATEWAYHOSTNAME": "gateway.local", "IOTEDGE_DEVICEID": "edge-1", "IOTEDGE_MODULEID": "itm",
		"IOTEDGE_APIVERSION": "2022-08-03",
	}
}

func TestTheEnvironmentOfAModule(t *testing.T) {
	all := edgeVariables()
	env, err := fromVariables(func(name string) string { return all[name] })
	want := Environment{
		Identity: iot.ModuleIdentity("edge-1", "itm"), Generation: "638", Hub: "hub.azure-devices.net", Gateway: "gateway.local",
		Workload: "unix:///var/run/iotedge/workload.sock", APIVersion: "2022-08-03",
	}
	if err != nil || env != want {
		t.Errorf("%+v, %v", env, err)
	}
}

func TestAnEnvironmentThatLacksSomethingSaysWhat(t *testing.T) {
	for _, name := range []string{
		"IOTEDGE_WORKLOADURI", "IOTEDGE_DEVICEID", "IOTEDGE_MODULEID", "IOTEDGE_IOTHUBHOSTNAME", "IOTEDGE_AUTHSCHEME", "IOTEDGE_MODULEGENERATIONID",
	} {
		all := edgeVariables()
		delete(all, name)
		if _, err := fromVariables(func(n string) string { return all[n] }); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	all := edgeVariables()
	all["IOTEDGE_AUTHSCHEME"] = "x509"
	if _, err := fromVariables(func(n string) string { return all[n] }); err == nil {
		t.Error("x509 is taken for sasToken")
	}
}

func TestAConnectionStringForDevelopment(t *testing.T) {
	all := edgeVariables()
	maps.Copy(all, map[string]string{
		"EdgeHubConnectionString":     "HostName=h.test;GatewayHostName=g.test;DeviceId=e;ModuleId=m;SharedAccessKey=a2V5",
		"EdgeModuleCACertificateFile": "/root.pem",
	})
	env, err := fromVariables(func(n string) string { return all[n] })
	want := Environment{Identity: iot.ModuleIdentity("e", "m"), Hub: "h.test", Gateway: "g.test", Key: "a2V5", Roots: "/root.pem"}
	if err != nil || env != want {
		t.Errorf("%+v, %v", env, err)
	}
	for _, bad := range []string{"HostName=h;DeviceId=e;SharedAccessKey=a2V5", "HostName=h;DeviceId=e;ModuleId=m", "x"} {
		if _, err := FromConnectionString(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
