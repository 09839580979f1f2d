// Package storagetest has the tests of what the interfaces of storage promise, to be
// run against whatever implements them, and the smallest implementation of one:
// [Memory].
package storagetest

import "testing"

// Start begins a test with a storage that holds nothing. powerCut returns one with what
// a power cut at this moment leaves. Both end with the test.
type Start[S any] func(t *testing.T) (s S, powerCut func() S)

// must ends a test that cannot go on.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
