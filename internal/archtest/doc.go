// Package archtest holds the tests of the architecture: that dependencies point
// down the list of rooms in ARCHITECTURE.md, that the vocabulary and the
// protocol engines stand alone, which room may use which module, and the few
// rules of style that a machine can check.
//
// The tests read every Go file of the tree, for all platforms, without building
// it. A failure says which rule was broken, why there is one, and what to do
// instead. The rules are tables: when one is wrong, change it here and in
// ARCHITECTURE.md, in the commit that needs it.
package archtest
