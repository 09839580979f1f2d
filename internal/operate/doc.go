// Package operate is how a person at the machine looks into a running gateway and
// operates it, whether the hub is there or not: JSON over HTTP on a Unix socket in
// the gateway's data directory, and the client of that.
//
// The socket's file is its authentication: it is the owner's alone (0600), in a
// directory that nobody else may enter. There is none on Windows, where sockets
// have no such permissions.
//
//	GET  /v1/status
//	GET  /v1/members                       whom the gateway serves, connected or not
//	GET  /v1/twin?id=ID
//	POST /v1/override?id=ID                a patch of desired properties, or null
//	POST /v1/method?id=ID                  {"name", "payload", "responseTimeout", "connectTimeout"}, in seconds
//	POST /v1/command?id=ID                 {"bodyBase64", "systemProperties", "properties", "timeout"}
//	GET  /v1/queues
//	POST /v1/purge?queue=NAME
//	GET  /v1/dead?after=SEQ&max=N          dead letters, oldest first
//	GET  /v1/dead/SEQ
//	POST /v1/dead/retry                    {"letters": [SEQ, …]}
//	POST /v1/dead/drop                     {"letters": [SEQ, …]}
//	GET  /v1/modules                       and what is below it: see Desk.Modules
//
// An ID is DEVICE or DEVICE/MODULE. What fails is answered with the status of IoT
// Hub's REST API for it and {"error": TEXT}.
package operate
