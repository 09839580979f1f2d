// Package hub is the local cloud: an IoT Hub in this process.
//
// To devices, modules and gateways a Hub is an [iot.Parent]: it authenticates
// them against its registry, stores what they send in its event log and
// acknowledges it when it is on disk, keeps their twins, and calls their methods.
// Its other side, what applications and operators do with devices, are methods of
// Hub that take the target's identity.
//
// The rooms below it keep what lasts: registry the identities, twins the twins,
// commands what waits for devices, files the uploads of files, deploy the
// configurations, jobs the jobs, transfer those that move identities, eventlog the
// events; notices is what applications are told of commands and files, blob speaks to
// blob stores. query is the language in which all of it is asked. rest serves the
// service API, and host puts everything together: files, certificates, listeners.
package hub
