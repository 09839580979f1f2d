// Package files keeps the file uploads of a hub's devices: it hands out addresses in a
// blob store, notes which uploads have not ended, and tells applications of files
// that are there.
//
// # An upload's life
//
// [Store.Begin] signs an address that is good for one blob and for [Options.TTL], and
// returns when the upload is on stable storage. The device puts its file there, past
// the hub, and says with [Store.End] how it went. Of a file that is there a
// [Notification] is stored, in the same write that ends the upload; the hub asks the
// blob store for its size, and does not take the device's word that it is there. An
// upload that nobody ends is forgotten when its address has expired.
//
// A device has at most [MaxActive] that have not ended. These are IoT Hub's rules,
// with its defaults.
//
// # Memory and disk
//
// In memory are the uploads that have not ended. Keys begin with 'u' for an upload and
// 'v' for a notification:
//
//	'u' device 0 id -> JSON
//	'v' sequence(8) -> JSON
package files
