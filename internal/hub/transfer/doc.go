// Package transfer moves the identities of a hub into blobs and back, as jobs: export
// writes all of them with their twins, one line of JSON for each, and import does what
// each line of a blob wants.
//
// There is one job at a time, as in IoT Hub. It streams: in memory are a few hundred
// identities, however many there are. Import goes on after lines that are wrong, and
// says of each what was wrong with it, in another blob. What it has done stays done if
// the job fails or is cancelled; the same import may be run again.
//
// Jobs are kept, under the keys 'x' id, but do not outlive the process: one that was
// running is a failed job when the hub is there again.
package transfer
