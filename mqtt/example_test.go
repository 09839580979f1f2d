package mqtt_test

import (
	"context"
	"fmt"
	"net"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"sluice/mqtt"
)

// A logbook takes down what clients publish. Its own session serves all of them.
type logbook struct{ lines chan string }

func (l *logbook) Connect(_ context.Context, c *mqtt.Connect, _ *mqtt.Conn) (mqtt.Session, bool, error) {
	if string(c.Password) != "sesame" {
		return nil, false, &mqtt.ConnectError{Code: mqtt.CodeBadCredentials}
	}
	return l, false, nil
}

func (l *logbook) Publish(batch []mqtt.Publish) {
	for i := range batch {
		l.lines <- fmt.Sprintf("%s: %s", batch[i].Topic, batch[i].Payload)
		batch[i].Ack(nil) // a store would call this after its sync
	}
}

func (l *logbook) Subscribe([]mqtt.Filter) ([]mqtt.QoS, error) { return nil, nil } // all are refused
func (l *logbook) Unsubscribe([]string) error                  { return nil }
func (l *logbook) Ready()                                      {}
func (l *logbook) Closed(reason error, _ *mqtt.Message)        { l.lines <- fmt.Sprintf("closed: %v", reason) }

func Example() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	book := &logbook{lines: make(chan string, 10)}
	served := make(chan error)
	go func() { served <- (&mqtt.Server{Backend: book}).Serve(ctx, listener) }()

	client := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + listener.Addr().String()).
		SetClientID("press-7").SetUsername("press-7").SetPassword("sesame"))
	if token := client.Connect(); token.WaitTimeout(5*time.Second) && token.Error() != nil {
		fmt.Println(token.Error())
	}
	if token := client.Publish("temperature", 1, false, "21.5"); token.WaitTimeout(5*time.Second) && token.Error() == nil {
		fmt.Println("acknowledged")
	}
	client.Disconnect(100)

	fmt.Println(<-book.lines)
	fmt.Println(<-book.lines)
	cancel()
	fmt.Println(<-served)
	// Output:
	// acknowledged
	// temperature: 21.5
	// closed: <nil>
	// <nil>
}
