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
// # The journal and the database
//
// What an Append brings, and what is acknowledged, is one block of the journal, written
// and fsynced at once: see the package journal. The database gets it later, with a
// checkpoint: all that is left of one segment of the journal, in one atomic batch. A record that is
// acknowledged before is never the database's. What a checkpoint is to take is an epoch;
// its records are called young, and are in memory as long.
//
// So the database is always the store as it was at the end of some segment, and says of
// which. Open reads the segments above once more.
//
// # Shared data
//
// Entries of one Append that follow one another and have the same Data, which means
// the same bytes in memory, share it: the disk has it once for up to sixteen of them,
// and a small record for each, until the last of these is gone. Nobody who reads can
// tell.
//
// Who removes a record has to know whether it was the last. As long as they are young,
// they are counted in memory. After that, whoever removes one looks in the database for
// another. A purge does neither: it writes down that it took place, and a sweep behind
// it, in small steps and on after a restart, removes the data that it has left without
// records.
//
// # Goroutines
//
// All methods may be called from any goroutine. The store runs four: the writer makes
// blocks of what is pending, publishes the records to their lanes and calls back; the
// checkpointer brings epochs into the database; the keeper sweeps expired heads and
// watches the disk's free space; and one more sweeps behind purges. [Store.Close] waits
// for all. When the writer has nothing to do, Append does its work in its place, and
// calls back before it returns: to wake another goroutine takes longer than all else
// that it does, besides the fsync.
//
// # On disk
//
//	DIR/FORMAT     "sluice-spool 3\n": the version of everything below
//	DIR/LOCK       locked by the owner for as long as the store is open
//	DIR/OWNER      the owner's process id, decimal
//	DIR/BALLAST    zeros, given up when the disk is full so that draining goes on
//	DIR/journal/   the journal
//	DIR/db/        the Pebble database, without a log of its own
//
// A block of the journal:
//
//	block   = version(1)=2 first(1) stored(8) item*
//	item    = 1 name(queue) name(lane) priority(4)         a strand: it has the next number
//	        | 2 flags(1) strand(uvarint) [seq(uvarint)] [expires(8)] [data]
//	                                                       an entry
//	        | 3 removal                                    a record is gone
//	        | 4 removal stored(8) expires(8) died(8) name(reason) data
//	                                                       a record is a dead letter
//	        | 5 seq(uvarint)                               a dead letter is gone
//	removal = strand(uvarint) seq(varint) size(uvarint) place(uvarint)
//	data    = length(uvarint) bytes
//
// first is 1 in the first block of a segment, in which strands are numbered from 0 on. An
// entry's flag bit 0 says that expires is there; bit 1 that its data is that of the entry
// before, and not there; bit 2 that the two share it; bit 3 that seq is there, which else
// is one more than that of the entry before. In a removal, seq is the difference to the
// one before; size is that of data with Overhead; place is 0, or one more than the place
// among those that share the data.
//
// The database's keys, big-endian; name = length (2 bytes), bytes:
//
//	's'                                              -> last sequence number used (8)
//	'j'                                              -> segment of the journal, to which all is here (8)
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
// Format 2 has no journal, but a log of Pebble's, and format 1 no shared data either. Open
// turns such a store into one of format 3, by nothing but the FORMAT file: what the older
// program would not understand comes later.
//
// A sequence number is used once in the life of a store, so a key is set once
// and removed with one SingleDelete. A strand is what shares a queue, a lane and
// a priority. Each record carries an odometer: how many records were put into
// its strand before it, their bytes, and how many of these are shared data. A strand's length is therefore the
// difference between its last and its first record; the tally, written when a
// checkpoint finds that records were taken and others remain, corrects it for those
// taken from the middle. That is how [Open] knows every length from three seeks per strand,
// whatever the backlog.
package spool
