// Package amqp10 speaks AMQP 1.0 (OASIS Standard, 29 October 2012), as server
// and as client, on the same state machines. It knows nothing of what the
// messages mean.
//
// # Server
//
// A [Server] turns network connections into a [Conn] each. Server.Open is
// asked for a [Handler] when the peer has authenticated and opened; the
// handler is asked about every link the peer attaches, by a [LinkRequest],
// and accepts it as a [Receiver] or a [Sender], or refuses it with an [Error].
// A decision may come later, from any goroutine.
//
// # Client
//
// [Dial] or [NewConn] gives a [Conn], [Conn.NewSession] a [Session], and
// [Session.AttachSender] and [Session.AttachReceiver] the same [Sender] and
// [Receiver] types that a server has.
//
// # Deliveries
//
// A delivery that arrives is settled with [Delivery.Settle], once, from any
// goroutine, as late as its meaning needs: an outcome that promises storage
// is sent after the disk has answered. Outcomes that become ready together
// leave as ranges, in one write. Every delivery is to be settled, also one that
// its sender sent settled: until then it takes room and credit.
//
// [Sender.Send] sends at once or says that there is no credit, and reports the
// outcome to [Outgoing].Done; [Sender.Deliver] waits for both.
//
// # Callbacks
//
// The callbacks of one connection (Handler, OnDelivery, OnCredit, OnClose,
// Done) are never called at the same time, and in the order of the events on
// the wire. While one runs, the next waits, and reading from the peer with it:
// that is how a slow handler slows its own sender, and nobody else. So a
// callback must not wait for something that only this peer can send; methods of
// this package that take a context wait, all others return at once and may be
// called from anywhere. A panic in a callback closes its connection, and is
// logged with its stack.
//
// # Memory
//
// [Limits] bounds what one connection can hold: deliveries that the handler
// has not settled (then reading stops), answers that the peer does not read
// (likewise), messages that it does not read (then [Sender.Send] returns
// [ErrNoCredit], and the connection is closed when a write makes no progress
// for ten seconds), partial messages, sessions and links. Lengths and counts on
// the wire allocate nothing until the bytes behind them have arrived. A
// connection that is idle holds one goroutine and no buffer.
//
// # Links are not resumed
//
// The unsettled state of a link ends with it: a peer that attaches again finds
// a new link. A link that is attached under a name and role that its
// connection already has takes over, and the older one is detached with
// amqp:link:stolen [AMQP 2.6.1].
package amqp10
