package service

import "encoding/json"

// Configuration is an automatic configuration of devices or modules, or an edge
// deployment, in the form of GET /configurations/{id}. A client sets the id,
// Labels, Content, TargetCondition, Priority and the queries of Metrics; the hub
// sets the rest.
type Configuration struct {
	ID              string               `json:"id"`
	SchemaVersion   string               `json:"schemaVersion,omitempty"`
	Labels          map[string]string    `json:"labels"`
	Content         ConfigurationContent `json:"content"`
	ContentType     string               `json:"contentType,omitempty"`
	TargetCondition string               `json:"targetCondition"`
	CreatedTime     Time                 `json:"createdTimeUtc"`
	LastUpdatedTime Time                 `json:"lastUpdatedTimeUtc"`
	Priority        int                  `json:"priority"`
	SystemMetrics   Metrics              `json:"systemMetrics"`
	Metrics         Metrics              `json:"metrics"`
	ETag            string               `json:"etag"`
}

// ConfigurationContent is what a configuration makes of those that it targets: of
// exactly one kind. The names of settings are paths, such as
// properties.desired.interval.
type ConfigurationContent struct {
	ModulesContent map[string]map[string]json.RawMessage `json:"modulesContent,omitzero"` // by module, of an edge device
	ModuleContent  map[string]json.RawMessage            `json:"moduleContent,omitzero"`
	DeviceContent  map[string]json.RawMessage            `json:"deviceContent,omitzero"`
}

// Metrics count those that a configuration is about: a query for each name, and
// how many it found last.
type Metrics struct {
	Results map[string]int    `json:"results"`
	Queries map[string]string `json:"queries"`
}

// ConfigurationTest is what POST /configurations/testQueries is asked.
type ConfigurationTest struct {
	TargetCondition string            `json:"targetCondition"`
	MetricQueries   map[string]string `json:"customMetricQueries"`
}

// ConfigurationTestResult says what is wrong with each part of a
// ConfigurationTest.
type ConfigurationTestResult struct {
	TargetConditionError OrNull            `json:"targetConditionError"`
	MetricQueryErrors    map[string]string `json:"customMetricQueryErrors"`
}
