package translator

import (
	"context"
	"fmt"

	"sluice/internal/moduleclient"
	"sluice/iot"
)

// fromEnvironment completes the options with who this process is.
func (o *Options) fromEnvironment() error {
	env, err := moduleclient.FromEnvironment()
	if err != nil {
		return fmt.Errorf("translator: this process is no module of a gateway: %w", err)
	}
	o.ModuleID, o.DeviceID = env.Identity.Module, env.Identity.Device
	o.Connect = func(ctx context.Context, client iot.Client) (iot.Session, error) {
		c, err := moduleclient.Open(ctx, env, moduleclient.Options{Product: client.Product, Log: o.Log})
		if err != nil {
			return nil, err
		}
		s, err := c.Connect(ctx, client)
		if err != nil {
			c.Close()
			return nil, err
		}
		return &owned{s, c}, nil
	}
	return nil
}

// owned is a session that has a client to itself.
type owned struct {
	iot.Session
	client *moduleclient.Client
}

func (o *owned) Close() error {
	err := o.Session.Close()
	o.client.Close()
	return err
}
