// Package translator is for writing protocol translators: modules that speak some
// field's own protocol on one side, and on the other let each device of that field
// appear in the hub as a device with an identity of its own. The identity
// translation module of the gateway does the latter; a translator only says which
// leaf a message is from, and takes what is for a leaf.
//
//	t, err := translator.New(translator.Options{Method: func(call *translator.Call) { … }})
//	…
//	go read(field, t)        // t.Leaf("pump-7") and leaf.Send, as messages come
//	err = t.Run(ctx)         // connects, and reconnects, until ctx ends
//
// # What is promised
//
// [Leaf.Send] returns nil, and the done function of [Leaf.Post] is called with nil,
// after the gateway has the message on its disk. Only then may the field be told
// that its message was taken. Until then the message is in memory, once: when the
// connection is lost it is sent again over the next, in the order of the calls. A
// message may therefore arrive twice, and never not at all.
//
// At most [Options.Window] messages, and [Options.WindowBytes] bytes, wait for the
// gateway. Beyond that Send and Post block: a gateway that is slow or away slows
// the field, and costs no memory. Answers to calls and commands are not counted,
// because there are no more of them than there were questions.
//
// # What comes down
//
// The functions in [Options] are called one at a time, in the order in which the
// gateway sends. They should return soon. Methods and commands are answered later,
// from any goroutine. What was not answered when the translator ends is, for the
// hub, a method that timed out and a command that was abandoned.
//
// # Where it runs
//
// A translator is started by the gateway as a module, from a deployment, and finds
// what it needs in its environment. Two routes join it to the identity translation
// module; docs/translators.md has them, and says how to write a translator in
// another language.
package translator
