// Package ledger decides whether a system under test kept its promises, from
// nothing but what its clients wrote down.
//
// Every client of a robustness run keeps a ledger: a text file that it only
// appends to. A sender records each message before it sends it and what became
// of it afterwards; a receiver records what it received, from whom the message
// says it is, and as whom the hub presented it; the script that kills and cuts
// records each fault. [Check] reads the files when the run is over and reports
// what must not have happened:
//
//   - Lost: acknowledged and never received, though not expired.
//   - Reordered: a message overtook one of the same sender that was sent for
//     the last time before it was sent for the first time.
//   - Repeated: received again though it was not in flight at any fault.
//   - Phantom: received and never sent, or not to that endpoint.
//   - Corrupted: received with another body than was sent.
//   - Misattributed: received under another identity than its sender's.
//   - Contradicted: received although its sender was told that it was refused.
//
// # Three outcomes
//
// A message sent is acknowledged, refused, or unknown: its connection ended
// before an answer came, or its client was killed before it noted the answer.
// A message with an unknown outcome may be received or not; it is never lost.
//
// # In flight at a fault
//
// A system that delivers at least once may repeat what was in flight when it
// was killed or cut off, and nothing else. A message counts as in flight at a
// fault if it had been sent and not yet acknowledged to its sender, or if the
// receipt before the repeated one was within [Rules.Slack] of the fault. A
// sender that sends a message n times may find it received n times, and each of
// these copies once more after such a fault.
//
// # The file
//
// One event a line, nine columns with a space between, "-" for what does not
// apply, the last column the CRC-32C of the line before it:
//
//	TIME KIND SENDER SEQ HASH ENDPOINTS AS EXPIRES CRC
//	2026-11-21T08:00:00.000125Z sent dev1 17 8f3a…9c $upstream,ai/in1 - - 5d1e02ac
//
// A line is written and fsynced before [Writer.Record] returns. A crash can
// tear the last line; a writer that opens the file again ends that line and
// writes an "opened" event after it, so a torn line is one that stands at the
// end of the file or before such an event. Damage anywhere else is an error.
package ledger
