// Package twin holds the documents of an IoT Hub twin: tags, desired and
// reported properties. It knows merge patches, versions, metadata and limits,
// and does no I/O.
//
// A [Document] is one of the three. It is a value that never changes: [Document.Merge]
// and [Document.Replace] return the next version and leave the one before as it
// was, so a reader needs no lock and a failed patch no undo. Versions share what
// they have in common. A [Twin] is the three together, with the etag and version
// that the service shows.
//
// # Patches
//
// A patch is a JSON object (RFC 7396): null removes a property, an object is
// merged into the object of that name, anything else, an array too, replaces
// what was there. Every patch that is accepted makes a new version, even one
// that changes nothing. The read-only members $version and $metadata at the
// top of a patch are skipped, as clients send back what they have read.
//
// # Text
//
// Numbers are kept as they were written: 1.10 stays 1.10, and no integer passes
// through a float64. Strings are kept as Unicode. Members are sorted by the
// bytes of their keys, so equal documents have equal JSON. Of members that a
// text has twice the last counts.
//
// # Limits
//
// The limits are those of the service ("Understand and use device twins in IoT
// Hub", tags and properties format): see the constants. Sizes are counted as the
// service counts them: keys and strings by their characters without control
// characters, numbers as 8 and booleans as 4; null, braces and metadata count nothing.
// A document that is over its limit already may still shrink.
package twin
