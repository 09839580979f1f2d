// Package module runs an edge device's modules: programs that a deployment names, as
// supervised processes of the gateway's machine.
//
//	r, err := module.New(module.Options{Dir: data, RunDir: run, Device: id, ...})
//	err = r.Run(ctx) // until ctx ends; no module is left then
//
// # Deployments
//
// A deployment is what IoT Edge's $edgeAgent has as desired properties. It comes from
// a file, which is watched, or from the twin of $edgeAgent at the hub; the last good
// one is kept on disk, for starts without the hub. It is applied by difference: a
// module of which nothing changes goes on running. A deployment that is wrong is
// refused whole, and what ran goes on.
//
// A module of type process is a program: image is its file, or its name in PATH, and
// createOptions has the fields of Docker that a process has a meaning for: Cmd,
// Entrypoint, Env, WorkingDir, User, StopSignal, StopTimeout and
// HostConfig.LogConfig.Config max-size and max-file. Modules of other types are
// reported as failed, with the reason, and are no hindrance to others.
//
// # A module's life
//
// A module is started when the hub has an identity for it, in the order of
// startupOrder, with the environment of IoT Edge and a workload API of its own
// (package workload). When it ends by itself its restart policy says what follows;
// the pause before each restart doubles, from a second to five minutes, and begins
// anew after the module has run for ten minutes. To stop it the whole process group
// gets StopSignal, and what is left of it after StopTimeout is killed.
//
// No module outlives the gateway. On Linux the kernel kills a module's process when
// the gateway is killed, and descendants that remain are found by the mark that the
// gateway puts into their environment, and killed before anything is started again.
package module
