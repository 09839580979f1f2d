//go:build race

package route

// racing: the race detector makes pools forget at random.
const racing = true
