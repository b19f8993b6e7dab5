package main

import (
	"slices"
	"testing"
	"time"
)

func TestSettings(t *testing.T) {
	for _, test := range []struct {
		version          int
		quick, daemon    bool
		follower, leader time.Duration
		given            int
	}{
		{2, false, false, 50100 * time.Millisecond, 50100 * time.Millisecond, 0},
		{2, true, true, 26100 * time.Millisecond, 26100 * time.Millisecond, 2},
		{3, false, false, 110 * time.Second, 230 * time.Second, 1},
		{3, true, false, 34 * time.Second, 50 * time.Second, 6},
		{3, true, true, 34 * time.Second, 206 * time.Second, 4},
	} {
		s, err := librarySettings(test.version, test.quick, test.daemon)
		if err != nil || s.moved(false) != test.follower || s.moved(true) != test.leader || len(s.given) != test.given {
			t.Errorf("%+v: moved within %s, of a leader %s, %q, %v", test, s.moved(false), s.moved(true), s.given, err)
		}
	}
	if s, err := librarySettings(1, false, false); err == nil {
		t.Errorf("version 1: %+v", s)
	}
	if s, _ := librarySettings(3, true, false); !slices.Contains(s.given, "failoverTimeMillis=4000") {
		t.Errorf("quick: %q", s.given)
	}
}
