package rest

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"sluice/internal/hub"
	"sluice/internal/hub/code"
	"sluice/internal/hub/deploy"
	"sluice/internal/hub/query"
	"sluice/internal/hub/storage"
	"sluice/internal/service"
	"sluice/iot"
)

// maxConfiguration bounds the body of a configuration, in bytes.
const maxConfiguration = 512 << 10

// Deployments are the configurations of a hub.
type Deployments interface {
	Configurations() *deploy.Store // nil: there are none
	ConfigurationCounts(id string) hub.ConfigurationCounts
	ApplyContent(device string, content service.ConfigurationContent) error
}

func (a *api) configurationRoutes(h Hub) []route {
	if _, alone := h.(empty); alone || h.Configurations() == nil {
		return nil
	}
	const read, write = storage.RegistryRead, storage.RegistryRead | storage.RegistryWrite
	return []route{
		{method: http.MethodGet, path: "/configurations", right: read, handle: listConfigurations},
		{method: http.MethodPost, path: "/configurations/testQueries", right: read, handle: testQueries},
		{method: http.MethodGet, path: "/configurations/{configuration}", right: read, handle: getConfiguration},
		{method: http.MethodPut, path: "/configurations/{configuration}", right: write, handle: putConfiguration},
		{method: http.MethodDelete, path: "/configurations/{configuration}", right: write, handle: deleteConfiguration},
		{method: http.MethodPost, path: "/devices/{device}/applyConfigurationContent", right: write, handle: applyContent},
	}
}

// listConfigurations lists configurations, without the results of the caller's own
// metrics, each of which is a query.
func listConfigurations(c *call) (answer, error) {
	top := deploy.MaxConfigurations
	if text := c.r.URL.Query().Get("top"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return answer{}, code.Errorf(code.ArgumentInvalid, "configuration", iot.Identity{}, "top is not a number from 1 to %d", top)
		}
		top = min(n, top)
	}
	list := c.Hub.Configurations().List(top)
	for i := range list {
		c.addSystemMetrics(&list[i])
	}
	return answer{body: list}, nil
}

func getConfiguration(c *call) (answer, error) {
	found, err := c.Hub.Configurations().Get(c.vars["configuration"])
	if err != nil {
		return answer{}, err
	}
	c.addSystemMetrics(&found)
	if err := errors.Join(c.count(&found.SystemMetrics), c.count(&found.Metrics)); err != nil {
		return answer{}, err
	}
	return answer{etag: found.ETag, body: found}, nil
}

// putConfiguration creates a configuration or, with If-Match, changes one.
func putConfiguration(c *call) (answer, error) {
	var want service.Configuration
	if err := c.read(maxConfiguration, &want); err != nil {
		return answer{}, err
	}
	if want.ID != c.vars["configuration"] {
		return answer{}, code.Errorf(code.ArgumentInvalid, "configuration", iot.Identity{}, "the body is about another configuration than the path")
	}
	store := c.Hub.Configurations()
	var err error
	if etag, ok := c.ifMatch(); ok {
		want, err = store.Update(want, etag)
	} else {
		want, err = store.Create(want)
	}
	if err != nil {
		return answer{}, err
	}
	c.addSystemMetrics(&want)
	return answer{etag: want.ETag, body: want}, nil
}

func deleteConfiguration(c *call) (answer, error) {
	etag, _ := c.ifMatch()
	return answer{}, c.Hub.Configurations().Delete(c.vars["configuration"], etag)
}

// addSystemMetrics adds how far a configuration has got, and the queries that
// find who it is about.
func (a *api) addSystemMetrics(f *service.Configuration) {
	n := a.Hub.ConfigurationCounts(f.ID)
	from := query.Devices
	if f.Content.ModuleContent != nil {
		from = query.Modules
	}
	of := fmt.Sprintf("SELECT deviceId FROM %s WHERE configurations.[[%s]].status = ", from, f.ID)
	f.SystemMetrics = service.Metrics{
		Results: map[string]int{"targetedCount": n.Targeted, "appliedCount": n.Applied},
		Queries: map[string]string{
			"targetedCount": fmt.Sprintf("SELECT deviceId FROM %s WHERE is_defined(configurations.[[%s]])", from, f.ID),
			"appliedCount":  of + "'Applied'",
		},
	}
	if f.Content.ModulesContent != nil {
		// What the agents of edge devices report of the deployment that they have.
		const agents = "SELECT deviceId FROM devices.modules WHERE moduleId = '$edgeAgent' AND configurations.[[%s]].status = 'Applied' AND " +
			"properties.desired.$version = properties.reported.lastDesiredVersion AND properties.reported.lastDesiredStatus.code %s 200"
		f.SystemMetrics.Queries["reportedSuccessfulCount"] = fmt.Sprintf(agents, f.ID, "=")
		f.SystemMetrics.Queries["reportedFailedCount"] = fmt.Sprintf(agents, f.ID, "!=")
	}
	if f.Metrics.Results == nil {
		f.Metrics.Results = map[string]int{}
	}
	if f.Metrics.Queries == nil {
		f.Metrics.Queries = map[string]string{}
	}
}

// metricsTime is how long the metrics of one answer may take; those that are not
// counted by then have no result.
const metricsTime = 20 * time.Second

// count asks the queries of metrics that have no result yet.
func (c *call) count(metrics *service.Metrics) error {
	until := time.Now().Add(metricsTime)
	for name, text := range metrics.Queries {
		if _, known := metrics.Results[name]; known || time.Now().After(until) {
			continue
		}
		q, err := query.Parse(text)
		if err != nil {
			return err // it was good when it was stored
		}
		if metrics.Results[name], err = c.Hub.Count(c.r.Context(), q); err != nil {
			return err
		}
	}
	return nil
}

// testQueries says what is wrong with a target condition and queries.
func testQueries(c *call) (answer, error) {
	var test service.ConfigurationTest
	if err := c.read(maxConfiguration, &test); err != nil {
		return answer{}, err
	}
	result := service.ConfigurationTestResult{MetricQueryErrors: map[string]string{}}
	if _, err := deploy.ParseTarget(test.TargetCondition); err != nil {
		result.TargetConditionError = service.OrNull(publicText(code.ArgumentInvalid, explained(err)))
	}
	for name, text := range test.MetricQueries {
		if _, err := query.Parse(text); err != nil {
			result.MetricQueryErrors[name] = publicText(code.ArgumentInvalid, explained(err))
		}
	}
	return answer{body: result}, nil
}

// applyContent makes a content that of one device.
func applyContent(c *call) (answer, error) {
	id, err := c.identity()
	if err != nil {
		return answer{}, err
	}
	var content service.ConfigurationContent
	if err := c.read(maxConfiguration, &content); err != nil {
		return answer{}, err
	}
	return answer{}, c.Hub.ApplyContent(id.Device, content)
}
