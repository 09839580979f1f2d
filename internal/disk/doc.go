// Package disk is what every database here stands on: a file system that makes of a
// disk's troubles what a gateway can live with, and the opening of databases on it.
//
//   - A full disk ends nothing. The write waits until there is space, and goes on. Only
//     opening gives up, and says so.
//   - A write or a sync that fails otherwise is final: the owner is told, once and for
//     all, before the database could try again. After a failed fsync the kernel may
//     have dropped the data and call the next one good.
//   - What the database cannot survive ends its own goroutine and is told to the owner,
//     where the database would end the process.
//   - Files and directories are for the owner's eyes only.
//   - A file is in its directory, durably, before another file says so.
package disk
