// Package blob speaks to an Azure-compatible blob store, as far as a hub needs one:
// it signs addresses of blobs for devices, and reads and writes a few blobs itself.
//
// An [Account] is read from a connection string. It signs shared access signatures,
// of a blob (service SAS) and of the account (account SAS), version 2018-11-09, which
// Azure Storage and its emulator Azurite both know. A [Container] is reached by its
// address with such a signature; nothing here signs requests in any other way.
//
// See "Create a service SAS", "Create an account SAS", "Put Block" and "Put Block
// List" of the REST API of Azure Storage.
package blob
