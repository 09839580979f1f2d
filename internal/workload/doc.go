// Package workload is the workload API: what a module asks of the gateway that it
// runs on. The gateway signs with the module's key, encrypts what the module keeps,
// and makes certificates for it. The key itself never leaves the gateway.
//
//	api, err := workload.New(workload.Options{Device: id, Hub: name, Keys: keys})
//	socket, err := api.Listen("/run/sluice/filter.sock", "filter", workload.Access{Owns: owns})
//	err = socket.Serve(ctx)
//
// It is HTTP on a Unix socket, with the paths, bodies and errors of IoT Edge's, so
// that the official SDKs' fromEnvironment works against it:
//
//	POST /modules/{m}/genid/{g}/sign
//	POST /modules/{m}/genid/{g}/encrypt
//	POST /modules/{m}/genid/{g}/decrypt
//	POST /modules/{m}/genid/{g}/certificate/server
//	POST /modules/{m}/certificate/identity
//	GET  /trust-bundle
//
// # Who may ask
//
// Each module has a socket of its own, which only the user that it runs as may open.
// A socket acts for its module alone. On Linux the process that connects must
// moreover be one that the gateway started for the module, or a descendant of one:
// modules that run as one user cannot sign for each other. They can still do what
// processes of one user can, such as read each other's files; give modules users of
// their own where that matters. The trust bundle is no secret and is for everybody
// who can open the socket.
package workload
