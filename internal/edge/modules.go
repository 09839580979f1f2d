package edge

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sluice/internal/edge/config"
	"sluice/internal/module"
	"sluice/internal/pki"
	"sluice/internal/sas"
	"sluice/internal/workload"
	"sluice/iot"
)

// agentToken is how long a session of $edgeAgent lasts before it is begun again.
const agentToken = 24 * time.Hour

// openModules prepares to run modules, if the configuration names a deployment.
func (e *Edge) openModules() error {
	if e.cfg.Deployment == "" {
		return nil
	}
	dir, err := filepath.Abs(e.cfg.DataDir)
	if err != nil {
		return err
	}
	api, err := e.openWorkload(dir)
	if err != nil {
		return err
	}
	file := e.cfg.Deployment
	if file == iot.EdgeAgentModule {
		file = ""
	}
	e.modules, err = module.New(module.Options{
		Dir: dir, RunDir: runDir(dir),
		Device: e.cfg.Device, Hub: e.cfg.HubHostName, Host: e.cfg.HostName, ParentHost: e.cfg.ParentHostName,
		LogLevel: e.cfg.LogLevel,
		Workload: api, Keys: e.gateway.ModuleKey, Create: e.createIdentity,
		File: file, Connect: e.connectAgent,
		Log: e.log,
	})
	return err
}

// runDir is where sockets are: the directory that the service manager made for
// them, or one in the data directory.
func runDir(data string) string {
	first, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":")
	return cmp.Or(first, filepath.Join(data, "run"))
}

func (e *Edge) openWorkload(dir string) (*workload.API, error) {
	private := filepath.Join(dir, "private")
	if err := makePrivate(private); err != nil {
		return nil, err
	}
	vault, err := workload.OpenVault(filepath.Join(private, "workload-key"))
	if err != nil {
		return nil, err
	}
	opt := workload.Options{
		Device: e.cfg.Device, Hub: e.cfg.HubHostName,
		Keys: e.gateway.ModuleKey, Trust: e.modulesTrust, Vault: vault, Log: e.log,
	}
	switch ca := e.cfg.EdgeCA; {
	case ca.Cert != "":
		opt.Authority = func() (*pki.Authority, error) { return pki.ReadAuthority(ca.Cert, ca.Key) }
	case e.cert.issuer != nil:
		opt.Authority = e.cert.issuer.open
	}
	return workload.New(opt)
}

// modulesTrust is what modules must trust to connect to the gateway.
func (e *Edge) modulesTrust() ([]byte, error) {
	pem := append([]byte(nil), e.cert.trust...)
	for _, file := range []string{e.cfg.TrustBundle, e.cfg.EdgeCA.Cert} {
		if file == "" {
			continue
		}
		certs, err := pki.ReadCertificates(file)
		if err != nil {
			return nil, err
		}
		pem = append(pem, pki.EncodeCertificates(certs...)...)
	}
	return pem, nil
}

// connectAgent begins a session of the device's $edgeAgent at the hub.
func (e *Edge) connectAgent(ctx context.Context, client iot.Client) (iot.Session, error) {
	id := iot.ModuleIdentity(e.cfg.Device.Device, iot.EdgeAgentModule)
	token, err := sas.Sign(e.cfg.DeviceKey, sas.Resource{Host: e.cfg.HubHostName, Identity: id}, "", time.Now().Add(agentToken))
	if err != nil {
		return nil, err
	}
	return e.parent.Connect(ctx, iot.Credentials{Identity: id, Token: token}, client)
}

// runModules runs modules until ctx ends, and returns when there are none left.
func (e *Edge) runModules(ctx context.Context) {
	if e.modules != nil {
		if err := e.modules.Run(ctx); err != nil {
			e.log.Error("no modules run", "err", err)
		}
	}
	<-ctx.Done()
}

func modulesFact(cfg *config.Config) (string, error) {
	switch cfg.Deployment {
	case "":
		return "", nil
	case iot.EdgeAgentModule:
		return "those that the hub says, by the twin of " + iot.EdgeAgentModule, nil
	}
	text, err := os.ReadFile(cfg.Deployment)
	if err != nil {
		return "", fmt.Errorf("deployment: %w", err)
	}
	m, err := module.ParseManifest(text)
	if err != nil {
		return "", fmt.Errorf("deployment %s: %w", cfg.Deployment, err)
	}
	names := make([]string, len(m.Modules))
	for i, s := range m.Modules {
		names[i] = s.Name
	}
	return fmt.Sprintf("%s, from %s", cmp.Or(strings.Join(names, ", "), "none"), cfg.Deployment), nil
}
