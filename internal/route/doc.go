// Package route is the route language of an IoT Edge gateway, and the table
// that decides where each message goes.
//
// A route is one line:
//
//	FROM /messages/* WHERE temperature = 'hot' INTO $upstream
//	FROM /messages/modules/filter/outputs/* INTO BrokeredEndpoint("/modules/store/inputs/in")
//
// [Parse] reads it, checks its types and compiles it. [NewTable] puts named
// routes together, and [Table.Match] says to which endpoints a message goes:
//
//	src := route.SourceOf(&msg)
//	for _, t := range table.Match(&msg, src) { ... t.Endpoint, t.Priority, t.TTL ... }
//
// # The contract
//
// The language is edgeHub's: a route that edgeHub takes is taken here, and
// matches the same messages. docs/routes.md lists the few places where it does
// not, because edgeHub's own behaviour there is a plain mistake.
//
// A condition is true, false or undefined, and only true routes. What a
// condition refers to and a message lacks is undefined; nothing that a message
// holds makes an evaluation fail. Types are checked when a route is parsed.
//
// Routes, conditions and tables are immutable, and may be used from any
// goroutine; to change routes, build a new table and exchange the pointer. No
// function keeps a message or a part of it.
//
// Time is bounded, whoever wrote the route and whoever sent the message. Text
// is at most [MaxText] bytes and nests at most 100 deep. A body is read once
// for all routes of a table, only if a condition asks, and no deeper than 64
// levels. What functions do on strings is paid from a budget for each
// condition; when it is spent the condition is undefined.
package route
