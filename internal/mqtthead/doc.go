// Package mqtthead gives MQTT its meaning at IoT Hub: it turns the topics of the
// developer's guide into calls on an [iot.Hub], over the engine of package mqtt.
//
// The property bags in those topics are read and written by internal/topic,
// which the uplink shares.
package mqtthead
