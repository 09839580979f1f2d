package service

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"sluice/iot"
)

func configurationPath(id string) string { return "/configurations/" + escape(id) }

// configurationBody is what a client may say of a configuration.
type configurationBody struct {
	ID              string               `json:"id"`
	SchemaVersion   string               `json:"schemaVersion,omitempty"`
	Labels          map[string]string    `json:"labels,omitempty"`
	Content         ConfigurationContent `json:"content"`
	TargetCondition string               `json:"targetCondition"`
	Priority        int                  `json:"priority"`
	Metrics         *metricsBody         `json:"metrics,omitempty"`
}

type metricsBody struct {
	Queries map[string]string `json:"queries"`
}

func bodyOfConfiguration(c *Configuration) configurationBody {
	b := configurationBody{
		ID: c.ID, SchemaVersion: c.SchemaVersion, Labels: c.Labels, Content: c.Content,
		TargetCondition: c.TargetCondition, Priority: c.Priority,
	}
	if len(c.Metrics.Queries) > 0 {
		b.Metrics = &metricsBody{c.Metrics.Queries}
	}
	return b
}

// Configurations lists at most limit configurations.
func (c *Client) Configurations(ctx context.Context, limit int) ([]Configuration, error) {
	var list []Configuration
	err := c.do(ctx, &request{
		op: "list configurations", method: http.MethodGet, path: "/configurations",
		query: url.Values{"top": {strconv.Itoa(limit)}}, out: &list,
	})
	return list, err
}

// Configuration returns a configuration.
func (c *Client) Configuration(ctx context.Context, id string) (Configuration, error) {
	var found Configuration
	err := c.do(ctx, &request{op: "configuration " + id, method: http.MethodGet, path: configurationPath(id), out: &found})
	return found, err
}

// CreateConfiguration adds a configuration and returns it as the hub completed it.
// One with the same id is the error code.ConfigurationAlreadyExists.
func (c *Client) CreateConfiguration(ctx context.Context, want Configuration) (Configuration, error) {
	return c.putConfiguration(ctx, want, "")
}

// UpdateConfiguration replaces a configuration, if its entity tag is want.ETag, or
// whatever it is if want has none.
func (c *Client) UpdateConfiguration(ctx context.Context, want Configuration) (Configuration, error) {
	return c.putConfiguration(ctx, want, orAny(want.ETag))
}

func (c *Client) putConfiguration(ctx context.Context, want Configuration, ifMatch string) (Configuration, error) {
	var put Configuration
	err := c.do(ctx, &request{
		op: "configuration " + want.ID, method: http.MethodPut, path: configurationPath(want.ID), ifMatch: ifMatch,
		in: bodyOfConfiguration(&want), out: &put,
	})
	return put, err
}

// DeleteConfiguration removes a configuration, if its entity tag is etag, or
// whatever it is if etag is "".
func (c *Client) DeleteConfiguration(ctx context.Context, id, etag string) error {
	return c.do(ctx, &request{op: "configuration " + id, method: http.MethodDelete, path: configurationPath(id), ifMatch: orAny(etag)})
}

// ApplyContent makes a content that of one device: for an edge device, what its
// modules are and do.
func (c *Client) ApplyContent(ctx context.Context, device string, content ConfigurationContent) error {
	id := iot.DeviceIdentity(device)
	return c.do(ctx, &request{
		op: "apply", id: id, method: http.MethodPost, path: pathOf(id) + "/applyConfigurationContent", in: content,
	})
}
