// Package eventlog is the hub's durable, partitioned log of events: what devices
// tell the hub, in the order in which it was stored, for readers that come when
// they like and read at their own pace. It stores [iot.Message] values and knows
// nothing of who may write or read them.
//
// # The contract
//
// [Log.Append] takes a batch over and calls back when it is safe: written and
// fsynced, all of it or nothing. Senders that append at the same time share an
// fsync. Calls back come in the order of the appends. What was called back with
// nil survives kill -9 and a power cut, and stays until retention removes it.
//
// All events of a device, its modules' included, are in one partition, chosen by
// a hash of the device id that never changes; so a device's events are read in
// the order in which it sent them. The number of partitions is fixed when a log
// is made. Within a partition an event has a sequence number, counted from 0
// without gaps, and an offset, which is the number of bytes stored before it.
// Both survive restarts and retention and are never used twice.
//
// A [Reader] begins at the earliest or the latest event, at a sequence number,
// an offset or a time, and follows the log. It sees an event only once it is
// durable. It keeps nothing in memory or in the database while it waits, so idle
// readers are free and slow ones hold up nobody; what retention removed before a
// reader came to it, the reader does not see, as the gap in sequence numbers
// shows.
//
// # Time
//
// Enqueued times are the wall clock's and may step back when it is set back. A
// reader that begins at a time never misses an event of that time or later. For
// retention by age the wall clock must disagree with the monotonic one for an
// hour before it is believed: a clock that jumps for a moment deletes nothing.
//
// # Full disk
//
// With less than [Options.MinFree] left on its file system the log refuses
// appends with [ErrNoSpace], keeps what it has, goes on serving readers, and
// takes appends again when space returns. If the disk fills up under a write that
// is under way, that write waits. Any other failure of a write or an fsync is
// final, see [Options.Fatal].
//
// # On disk
//
// The directory is a Pebble database. Its keys, big-endian:
//
//	'f'                          -> version(1)=1 partitions(2)
//	'm' partition(2)             -> first(8) offset(8) latest(8)
//	'e' partition(2) sequence(8) -> crc(4) source(1) enqueued(8) latest(8)
//	                                offset(8) message
//
// first is the sequence number of the oldest event that is kept, and offset its
// offset; the entry is missing until retention removes something. Times are Unix
// microseconds. latest is the highest enqueued time of the partition up to and
// including the event: it never falls, so that a time can be searched for. crc
// is CRC-32C of the key and of what follows the crc. A message is in its own
// binary form.
package eventlog
