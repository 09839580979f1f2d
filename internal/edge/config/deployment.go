package config

import "sluice/iot"

// deployment reads where the deployment of the device's modules is: a file, or the
// twin of $edgeAgent.
func (f *file) deployment(dir string, p *problems) string {
	if f.Sluice.Deployment == iot.EdgeAgentModule {
		return iot.EdgeAgentModule
	}
	return p.path(dir, "sluice.deployment", f.Sluice.Deployment)
}
