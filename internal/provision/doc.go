// Package provision is the provisioning service of identity translation: it makes
// the devices of leaves at a hub, when a translation module asks for them and an
// allow list has them, and tells the module so.
//
// A module asks with a message of its own, a LeafEvent (internal/leafwire). It comes
// as an Event Grid event over HTTP ([Service.Handler]), or is read from the hub's
// event log ([Service.Follow]). Either way the hub has stamped it with who sent it,
// and that is who asks: a message that names another edge device or module is
// refused.
//
//	s, err := provision.Open(provision.Config{Hub: client, Allow: allow, Dir: dir})
//	go http.Serve(listener, s.Handler(code))  // or: go s.Follow(ctx, reader)
//	err = s.Run(ctx)
//
// # What is done
//
// A create makes the device in the scope of the edge device that asks. Its two keys
// are derived from the two keys of the module that asks: the HMAC-SHA256 of the
// leaf's id, which the module has its workload API compute too. If the device
// exists, it is brought into this state, unless it is somebody else's:
//
//   - of another gateway, of none, or an edge device: never touched;
//   - in the gateway's scope, but not made for a leaf of this module, which its keys
//     and its status reason tell: taken over only if its very id is in the list;
//   - disabled by anybody but this service: it stays so.
//
// A disable and a delete are for devices made for a leaf of the module that asks,
// and for those whose very id is in the list, in the gateway's scope. Each operation
// may be done again without harm.
//
// Then the module's direct method ItmCallback is called with the result: 200 or 201,
// or 400, 403 or 404 for what is refused.
//
// # What is kept
//
// A request is in a journal on disk before it is acknowledged, and leaves it when the
// module has answered. What cannot be done now, because the hub is away or busy or
// the module is not connected, is tried again, with pauses that grow to a minute, for
// a day; a module asks again by itself. Of several requests of a module for one leaf
// only the latest is done.
package provision
