//go:build !race

package pattern_test

const raced = false
