// Package limit bounds how fast the outside may do what costs us something: how
// fast an identity sends, and how often an address may fail to log in.
//
// An identity above its rate is slowed, never refused: [Pace] holds its
// acknowledgements back, and both protocols stop a sender whose messages are not
// acknowledged. What it has sent is safe all the while.
//
// An address that keeps failing is kept out for a while, at the door ([Listener])
// and at the login ([Hub]). That is an address's penalty and never an identity's:
// nobody can lock a device out by failing in its name. Connections that are open
// are not touched.
package limit
