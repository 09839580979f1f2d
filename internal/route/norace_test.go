//go:build !race

package route

const racing = false
