package main

import (
	"strings"
	"testing"
)

// TestStrip: prose goes, and what is only called like it stays.
func TestStrip(t *testing.T) {
	model := `{"documentation":"<p>x</p>","metadata":{"v":"1"},"shapes":{"S":{"type":"structure","documentation":"x","members":{
		"documentation":{"shape":"T","documentation":"x","deprecatedMessage":"y"},"b":{"shape":"T"}}},"T":{"type":"string","enum":["documentation","a"]}}}`
	want := `{"metadata":{"v":"1"},"shapes":{"S":{"type":"structure","members":{"documentation":{"shape":"T"},"b":{"shape":"T"}}},"T":{"type":"string","enum":["documentation","a"]}}}`
	b, err := strip(strings.NewReader(model))
	have := strings.Join(strings.Fields(string(b)), "")
	if err != nil || have != want {
		t.Errorf("stripped is\n %s (%v), want\n %s", have, err, want)
	}
}
