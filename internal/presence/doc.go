// Package presence knows who is connected: each identity at most once, for as
// long as its proof holds. Hub and gateway share it, so that a connection lives
// and ends by the same rules on both.
//
// A [Table] lets an identity in by [Table.Enter], which asks package auth. The
// [Seat] that it gets is its own until one of these takes it: the client leaves,
// the same identity enters again, its token expires, its registration changes so
// that it would no longer be let in, or the table closes. Whatever comes first
// counts, once.
//
// A token is judged by the wall clock when it is shown. From then on what remains
// of its life is measured by the monotonic clock, so that a wall clock that jumps
// neither cuts devices off nor keeps them for ever.
package presence
