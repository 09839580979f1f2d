// Package jobs keeps a hub's jobs and runs them: a direct method, or a change of
// the twin, for all devices or modules that meet a condition.
//
// # A job's life
//
// [Store.Create] returns when the job is on stable storage. When its start time
// has come, and one of the places for running jobs is free, the devices that meet
// its condition are written down, and then served in chunks: a chunk is marked as
// running, its devices are served side by side, and what became of them is stored.
//
// # After a crash
//
// Jobs go on. Of the chunk that was running, twins are changed again, which has
// the same end; methods are not called again, as nobody knows whether they were:
// they count as failed and say so.
//
// # Memory and disk
//
// In memory are the jobs and one chunk of each that runs. Jobs that ended are kept
// until there are [MaxEnded]; then the oldest go. Keys begin with 'j' for a job and
// 'k' for a device of one:
//
//	'j' job -> JSON
//	'k' job 0 device 0 module -> JSON
package jobs
