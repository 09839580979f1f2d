// Package journal keeps blocks of bytes in files, in order, each durable when
// [Journal.Append] returns, until they are of no more use. It knows nothing of what is
// in them.
//
// # The contract
//
// Blocks are appended to a segment, which is a file with a number. [Journal.Rotate]
// begins the next one. When all that a segment holds is durable elsewhere, whoever
// keeps the journal writes down its number there, durably, and then tells
// [Journal.Release]: the file is used again for a later segment. [Open] is told that
// number, and gives the blocks of all segments above to its caller, in order.
//
// What Append returned nil for survives kill -9 and a power cut and comes back exactly
// once. One whose Append had not returned, or returned an error, may come back too, behind
// all others of its time, or not; if it came back once it does so every time.
//
// A block is wholly there or not at all. The one that was being written when the power
// went is torn, and ends its segment. As a block is written when the one before is
// durable, a good block behind a bad one proves that the bad one was good once: Open
// returns a [DamagedError], and leaves everything as it is. So it does when a segment
// is missing.
//
// # Speed
//
// A sync is fastest when nothing changes but data: not the length of the file, nor
// where it is on disk, nor that a part of it was never written. Files have their length
// before they are written; a fresh one that [Journal.Release] makes ahead is filled with
// zeros too; and then they are used again and again. So the background goroutine that
// calls Release should do so once at the start, with the number that Open was given; and
// it pays to Rotate when that has returned for the first time, as the segment that Open
// begins in a fresh directory is not filled: nobody is to wait for that.
// Rotate takes what is made ahead, and does no I/O then but to close a file.
//
// On a full disk, writes wait for space as [sluice/internal/disk] says.
//
// # Goroutines
//
// The journal has none of its own. Append and Rotate are for one goroutine at a time;
// Release may be called from another one meanwhile. The other methods may be called
// from anywhere, but nothing may be going on when Close is called, nor come after it.
//
// # On disk
//
//	DIR/000000000001.log   a segment: its number with twelve digits at least
//	DIR/spare-1.log        a file to be used again; what is in it does not count
//
//	segment = magic(8)="SLUICEJ1" number(8) salt(8) written(8) crc(4) zero(4) block*
//	block   = salt(8) crc(4) length(4) content, at an offset that 8 divides
//
// Numbers are big-endian. The crc, CRC-32C, of a segment's first bytes is that of the 32
// before it. That of a block is of the segment's number (8), the block's offset (8), the
// salt, the length and the content. So neither a block of an earlier life of the file
// nor one that is elsewhere is taken for one of this segment. The salt is random: nobody
// who sends something that is stored can make it look like a block.
//
// A file gets its number as its name when its first bytes are durable; there is no
// segment without them. Written says how much of the file, from its start, has been
// written at some time, so that it need not be filled with zeros again.
package journal
