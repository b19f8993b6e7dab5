//go:build race

package pattern_test

// raced: the race detector makes pools forget, so that validating JSON allocates.
const raced = true
