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
// # Shared data
//
// Entries of one Append that follow one another and have the same Data, which means
// the same bytes in memory, share it: the disk has it once for up to sixteen of them,
// and a small record for each, until the last of these is gone. Nobody who reads can
// tell.
//
// Who removes a record has to know whether it was the last. As long as all records of
// some data have stayed in memory since they were appended, they are counted there.
// When one has not, because it did not fit, was given back or the store was opened
// since, whoever removes another looks in the database. A purge does neither: it
// writes down that it took place, and a sweep behind it, in small steps and on after a
// restart, removes the data that it has left without records.
//
// # Goroutines
//
// All methods may be called from any goroutine. The store runs four: the
// writer gathers what is pending into one Pebble batch while the batch before
// is being fsynced, the syncer waits for the fsync, publishes the records to
// their lanes and calls back, the keeper sweeps expired heads and watches
// the disk's free space, and one more sweeps behind purges. [Store.Close] waits
// for all.
//
// # On disk
//
//	DIR/FORMAT     "sluice-spool 2\n": the version of everything below
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
//	'x' seq(8)                                       -> shared data
//	'n'                                              -> how much of it there is
//	'o'                                              -> what of it is to be looked at
//	                                                    behind a purge
//	'd' seq(8)                                       -> dead letter
//	'p' seq(8)                                       -> the dead letter's data
//
//	record      = crc(4) version(1)=1 flags(1) stored(8) [expires(8)]
//	              count(uvarint) bytes(uvarint) [shared(uvarint)] (data | reference)
//	reference   = place(uvarint) size(uvarint)
//	shared data = crc(4) version(1)=1 flags(1)=0 length(uvarint)
//	              length bytes of {name(queue) name(lane) priority(4)}, data
//	tally       = put count, put bytes, taken count, taken bytes,
//	              [put shared, taken shared] (uvarints)
//	how much    = count, bytes with Overhead each (uvarints)
//	what of it  = from seq(8), to seq(8)
//	dead letter = crc(4) version(1)=1 flags(1) stored(8) died(8) [expires(8)]
//	              priority(4) name(queue) name(lane) name(reason) size(uvarint)
//
// crc is CRC-32C of the key and of what follows the crc. Flag bit 0 says that
// expires is there, bit 1 that shared is, bit 2 that there is a reference instead of
// data. Times are Unix milliseconds.
//
// Shared data has the sequence number of the first record that refers to it. The
// others' follow; the places of all are its list, in that order. So the data of the
// record with the number seq at the place i is that of seq-i.
//
// Format 1 is the same without shared data. Open turns such a store into one of format
// 2, by nothing but the FORMAT file: what the older program would not understand comes
// later.
//
// A sequence number is used once in the life of a store, so a key is set once
// and removed with one SingleDelete. A strand is what shares a queue, a lane and
// a priority. Each record carries an odometer: how many records were put into
// its strand before it, their bytes, and how many of these are shared data. A strand's length is therefore the
// difference between its last and its first record; the tally, written whenever
// records are taken and others remain, corrects it for records taken from the
// middle. That is how [Open] knows every length from three seeks per strand,
// whatever the backlog.
package spool
