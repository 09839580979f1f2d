package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"sluice/internal/eventhub"
	"sluice/internal/hub/storage"
	"sluice/internal/pki"
	"sluice/internal/provision"
	"sluice/internal/sas"
	"sluice/internal/service"
	"sluice/iot"
)

// The modules on stage, and the list of leaves that may have an identity.
const (
	translatorName = "mqtt-bridge"
	identityName   = "identity-translation"
	allowedPrefix  = "press-"
	strangerPrefix = "stranger-"
)

// leafStage is what identity translation needs: a hub, provisioning beside it, a
// gateway that runs the two modules, and machines that know plain MQTT and nothing
// else.
type leafStage struct {
	*stage
	broker  string // tcp://host:port of the bridge
	reach   service.Options
	policy  sas.ConnectionString
	client  *service.Client
	leaves  []*leaf
	amqp    int // the gateway's port
	service *provision.Service
	allow   *provision.Allow
}

// buildLeaves sets the stage. What it has set up is taken down by close, also after
// an error.
func buildLeaves(opt Options) (*leafStage, error) {
	s := &leafStage{stage: &stage{opt: opt}}
	return s, inOrder(s.makeDir, s.makeCertificates, s.openHub, s.layCables, s.makeLeafGateway, s.makeClient, s.openProvisioning, s.makeLeaves)
}

// makeLeafGateway makes a gateway that follows the hub's deployment.
func (s *leafStage) makeLeafGateway() error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	s.amqp = ports[1]
	s.broker = net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[2]))
	form := strings.Replace(gatewayConfig, "[sluice.listen]", "deployment = \"$edgeAgent\"\n\n[sluice.listen]", 1)
	return s.writeGateway(form+"\n[sluice.metrics]\naddress = \"\"\n", ports[0], ports[1])
}

// makeClient makes the client of the hub's service API.
func (s *leafStage) makeClient() (err error) {
	if s.policy, err = sas.ParseConnectionString(s.hub.ConnectionString(storage.OwnerPolicy)); err != nil {
		return err
	}
	roots, err := pki.ReadPool(s.path("certs", "root.pem"))
	if err != nil {
		return err
	}
	s.reach = service.Options{
		Roots: roots, Address: "127.0.0.1",
		Port: s.hub.HTTPSAddr().(*net.TCPAddr).Port, AMQPPort: s.hub.AMQPAddr().(*net.TCPAddr).Port,
	}
	s.client, err = service.New(s.policy, s.reach)
	return err
}

// deploy tells the gateway, through the hub, what to run and how messages go.
func (s *leafStage) deploy(ctx context.Context) error {
	for _, name := range []string{translatorName, identityName} {
		entry := storage.Entry{}
		entry.Identity, entry.Enabled = iot.ModuleIdentity(gatewayName, name), true
		if _, err := s.hub.Registry().Create(entry); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ports := []string{"--address", "127.0.0.1", "--amqp-port", strconv.Itoa(s.amqp)}
	system := map[string]any{"type": "docker", "settings": map[string]any{"image": "sluice", "createOptions": ""}}
	content, err := contentOf(map[string]map[string]any{
		iot.EdgeAgentModule: {
			"schemaVersion": "1.1", "runtime": map[string]any{"type": "docker", "settings": map[string]any{}},
			"systemModules": map[string]any{"edgeAgent": system, "edgeHub": system},
			"modules": map[string]any{
				translatorName: processModule(self, append([]string{"module", "mqtt-bridge", "--listen", s.broker}, ports...)),
				identityName:   processModule(self, append([]string{"module", "identity-translation", "--ask-again", "5s", "--refusal", "5s"}, ports...)),
			},
		},
		iot.EdgeHubModule: {
			"schemaVersion": "1.1", "routes": leafRoutes, "storeAndForwardConfiguration": map[string]any{"timeToLiveSecs": 7200},
		},
	})
	if err != nil {
		return err
	}
	return s.client.ApplyContent(ctx, gatewayName, content)
}

// leafRoutes join the modules to each other and to the hub.
var leafRoutes = map[string]string{
	"leaves":     "FROM /messages/* WHERE NOT IS_DEFINED($connectionModuleId) INTO $upstream",
	"requests":   "FROM /messages/modules/" + identityName + "/outputs/itmoutput INTO $upstream",
	"translated": "FROM /messages/modules/" + translatorName + "/outputs/* INTO BrokeredEndpoint(\"/modules/" + identityName + "/inputs/itminput\")",
	"down": "FROM /messages/modules/" + identityName + "/outputs/itmdown WHERE moduleId = '" + translatorName +
		"' INTO BrokeredEndpoint(\"/modules/" + translatorName + "/inputs/leaf\")",
}

// processModule is a module of a deployment that runs this very program.
func processModule(self string, args []string) map[string]any {
	options, err := json.Marshal(map[string]any{"Cmd": args})
	if err != nil {
		panic(err) // cannot happen: a list of texts
	}
	return map[string]any{
		"type": "process", "status": "running", "restartPolicy": "always",
		"settings": map[string]any{"image": self, "createOptions": string(options)},
	}
}

func contentOf(modules map[string]map[string]any) (c service.ConfigurationContent, err error) {
	c.ModulesContent = map[string]map[string]json.RawMessage{}
	for name, desired := range modules {
		text, err := json.Marshal(desired)
		if err != nil {
			return c, err
		}
		c.ModulesContent[name] = map[string]json.RawMessage{"properties.desired": text}
	}
	return c, nil
}

// allowFile is the allow list.
func (s *leafStage) allowFile() string { return s.path("leaves.txt") }

// openProvisioning writes the allow list and opens provisioning, which begins when it
// is run.
func (s *leafStage) openProvisioning() error {
	text := "# what may have an identity at the hub\nprefix:" + allowedPrefix + "\n"
	if err := os.WriteFile(s.allowFile(), []byte(text), 0o600); err != nil {
		return err
	}
	file, err := os.OpenFile(s.path("provision.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, file.Close)
	log := slog.New(slog.NewTextHandler(file, nil))
	if s.allow, err = provision.OpenAllow(context.Background(), s.allowFile(), log); err != nil {
		return err
	}
	rate := 1.5 // one by one, before the eyes of who watches
	if s.opt.Once {
		rate = 50
	}
	s.service, err = provision.Open(provision.Config{
		Hub: s.client, Allow: s.allow.Find, Dir: s.path("provision"), Modules: []string{identityName}, Rate: rate, Log: log,
	})
	return err
}

// provisioning runs provisioning until ctx ends.
func (s *leafStage) provisioning(ctx context.Context) error {
	reader, err := eventhub.New(s.policy, eventhub.Options{Roots: s.reach.Roots, Address: s.reach.Address, Port: s.reach.AMQPPort})
	if err != nil {
		return errors.Join(err, s.service.Close())
	}
	results := make(chan error, 3)
	following, done := context.WithCancel(ctx)
	defer done()
	go func() { s.allow.Watch(following); results <- nil }()
	go func() { results <- s.service.Follow(following, reader); done() }()
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	go func() { results <- s.service.Run(working); done() }()
	<-following.Done()
	errs := []error{<-results, <-results}
	stop()
	return errors.Join(append(errs, <-results)...)
}

// makeLeaves makes the machines: three in four on the allow list.
func (s *leafStage) makeLeaves() error {
	strangers := s.opt.Devices / 4
	var names []string
	for i := range s.opt.Devices - strangers {
		names = append(names, fmt.Sprintf("%s%02d", allowedPrefix, i+1))
	}
	for i := range strangers {
		names = append(names, fmt.Sprintf("%s%d", strangerPrefix, i+1))
	}
	s.tally = newTally(names)
	for i, name := range names {
		// Strangers come between the others.
		s.leaves = append(s.leaves, s.makeLeaf(name, time.Duration(i*7%len(names))*50*time.Millisecond))
	}
	return nil
}

func (s *leafStage) makeLeaf(name string, begin time.Duration) *leaf {
	l := &leaf{begin: begin, allowed: strings.HasPrefix(name, allowedPrefix)}
	l.device = device{
		id: name, topic: "device/" + name + "/message", tally: s.tally, limit: s.opt.Messages, stays: true,
		every: time.Duration(float64(time.Second) / s.opt.Rate),
		login: func() (*paho.ClientOptions, error) {
			return paho.NewClientOptions().AddBroker("tcp://" + s.broker).SetOnConnectHandler(l.connected), nil
		},
	}
	return l
}

// freePorts finds ports that differ.
func freePorts(n int) (ports []int, err error) {
	var listeners []net.Listener
	for range n {
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		listeners = append(listeners, l)
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	for _, l := range listeners {
		err = errors.Join(err, l.Close())
	}
	return ports, err
}
