// Package cli is the command line of Sluice: one file per command, flags and
// configuration in, a running part out. It has no behaviour of its own.
//
// [Main] is the whole program but for the process around it. What a command
// says to people and scripts follows four rules:
//
//   - Results go to standard output, everything else to standard error.
//   - An error is printed once, as "sluice: what was wrong", with a hint below
//     it where one is known.
//   - Colour and column widths are for terminals; NO_COLOR and a pipe get plain
//     text, and --json gets JSON that only ever grows.
//   - The exit status says in what way a command failed; see [Exit].
package cli
