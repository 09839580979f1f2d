package rest

import (
	"net/http"

	"sluice/internal/hub/storage"
	"sluice/internal/service"
)

func (a *api) statisticsRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/statistics/devices", right: storage.RegistryRead, handle: deviceStatistics},
		{method: http.MethodGet, path: "/statistics/service", right: storage.RegistryRead, handle: serviceStatistics},
	}
}

func deviceStatistics(c *call) (answer, error) {
	n := c.Registry.Counts()
	return answer{body: service.DeviceStatistics{Total: n.Devices, Enabled: n.Enabled, Disabled: n.Disabled}}, nil
}

func serviceStatistics(c *call) (answer, error) {
	return answer{body: service.ServiceStatistics{Connected: c.Hub.Connected()}}, nil
}
