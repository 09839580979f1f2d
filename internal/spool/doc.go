// Package spool keeps records on disk until they have been delivered: durable
// queues with lanes, priorities, expiry and a dead-letter queue, on Pebble. It
// knows nothing of what a record means.
//
// # The contract
//
// [Store.Append] takes entries over and calls back when they are safe: written
// and fsynced, all of them or none. What was called back with nil survives
// kill -9 and a power cut, and stays until it is acknowledged, expires, is
// declared dead, or its queue is purged. Nothing else removes a record.
//
// A [Queue] has lanes. Within a lane, records of one priority are read in the
// order in which they were appended, and a lower priority number is read before
// a higher one. A consumer leases a lane with [Queue.Acquire], reads with
// [Lease.Read], settles each record with [Lease.Ack] or [Lease.Dead], and gives
// the lane back with [Lease.Release]: what it did not settle is read again,
// in order, by the next holder. Lanes with more urgent records are leased
// first, lanes of equal urgency in turn. A lane released with a delay rests
// alone.
//
// Delivery is at least once. An acknowledgement is made durable a moment later
// ([Options.AckDelay]), so a crash may repeat the records that were leased at
// that moment and those acknowledged within that delay, and no others.
//
// An expired record is never handed out: expiry is judged when a record is read
// and, for lanes that nobody reads, by a sweep. A record that was handed out
// before it expired can still be acknowledged, and then counts as delivered.
//
// # Goroutines
//
// All methods may be called from any goroutine. The store runs three: the
// writer gathers what is pending into one Pebble batch while the batch before
// is being fsynced, the syncer waits for the fsync, publishes the records to
// their lanes and calls back, and the keeper sweeps expired heads and watches
// the disk's free space. [Store.Close] waits for all.
//
// # On disk
//
//	DIR/FORMAT     "sluice-spool 1\n": the version of everything below
//	DIR/LOCK       locked by the owner for as long as the store is open
//	DIR/OWNER      the owner's process id, decimal
//	DIR/BALLAST    zeros, given up when the disk is full so that draining goes on
//	DIR/db/        the Pebble database
//
// The database's keys, big-endian; name = length (2 bytes), bytes:
//
//	's'                                              -> next sequence number to
//	                                                    use after a restart (8)
//	'e' name(queue) name(lane) priority(4) seq(8)    -> record
//	't' name(queue) name(lane) priority(4)           -> tally
//	'd' seq(8)                                       -> dead letter
//	'p' seq(8)                                       -> the dead letter's data
//
//	record      = crc(4) version(1)=1 flags(1) stored(8) [expires(8)]
//	              count(uvarint) bytes(uvarint) data
//	tally       = put count, put bytes, taken count, taken bytes (uvarints)
//	dead letter = crc(4) version(1)=1 flags(1) stored(8) died(8) [expires(8)]
//	              priority(4) name(queue) name(lane) name(reason) size(uvarint)
//
// crc is CRC-32C of the key and of what follows the crc. Flag bit 0 says that
// expires is there. Times are Unix milliseconds.
//
// A sequence number is used once in the life of a store, so a key is set once
// and removed with one SingleDelete. A strand is what shares a queue, a lane and
// a priority. Each record carries an odometer: how many records were put into
// its strand before it, and their bytes. A strand's length is therefore the
// difference between its last and its first record; the tally, written whenever
// records are taken and others remain, corrects it for records taken from the
// middle. That is how [Open] knows every length from three seeks per strand,
// whatever the backlog.
package spool
