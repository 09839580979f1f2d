package pki

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestNothingIsSignedThatOthersWouldRefuse(t *testing.T) {
	s := newSite()
	past := at(time.Now().Add(-20 * 365 * 24 * time.Hour))
	old := must(NewRoot("Old root", Options{Now: past}))
	limited := &Authority{chain: must(s.root.Intermediate("limited", Options{NoAuthorities: true})).chain, key: s.mid.key}
	server := func(names ...string) func() error {
		return func() error { _, err := s.edge.Server(names, Options{}); return err }
	}
	tests := []struct {
		name string
		make func() error
		want error
	}{
		{"an authority below an edge CA", func() error { _, err := s.edge.Intermediate("x", Options{}); return err }, ErrPathLength},
		{"an authority below a path length of 0", func() error { _, err := limited.Intermediate("x", Options{}); return err }, ErrPathLength},
		{"anything below an expired root", func() error { _, err := old.Device("pump-7", Options{}); return err }, ErrExpired},
		{"a device with its issuer's name", func() error { _, err := s.root.Device("Site root", Options{}); return err }, ErrSameName},
		{"an edge CA with the root's name", func() error { _, err := s.mid.Intermediate("Site root", Options{}); return err }, ErrSameName},
		{"a root without a name", func() error { _, err := NewRoot("", Options{}); return err }, ErrBadName},
		{"a device without an id", func() error { _, err := s.mid.Device("", Options{}); return err }, ErrBadName},
		{"a device id longer than a common name", func() error { _, err := s.mid.Device(strings.Repeat("x", 65), Options{}); return err }, ErrBadName},
		{"a device id with a line end", func() error { _, err := s.mid.Device("a\nb", Options{}); return err }, ErrBadName},
		{"a device id that is not UTF-8", func() error { _, err := SelfSigned("a\xff", Options{}); return err }, ErrBadName},
		{"no names", server(), ErrBadName},
		{"an empty name", server(""), ErrBadName},
		{"a URL", server("https://gw.local"), ErrBadName},
		{"a port", server("gw.local:8883"), ErrBadName},
		{"a space", server("gw local"), ErrBadName},
		{"a zone", server("fe80::1%eth0"), ErrBadName},
		{"two dots", server("gw..local"), ErrBadName},
		{"a dash at the end", server("gw-.local"), ErrBadName},
		{"not ASCII", server("käse.local"), ErrBadName},
		{"a wildcard within", server("gw.*.local"), ErrBadName},
		{"a label of 64", server(strings.Repeat("x", 64) + ".local"), ErrBadName},
		{"a name of 254", server(strings.Repeat("x.", 126) + "xx"), ErrBadName},
		{"a good and a bad name", server("gw", "g w"), ErrBadName},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.make(); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	if _, err := NewRoot("x", Options{Valid: -time.Hour}); err == nil {
		t.Error("a root that ends before it begins")
	}
	if _, err := NewRoot("x", Options{Key: KeyType(99)}); err == nil {
		t.Error("a root with a key of no type")
	}
}

func TestPathLengthsOfThoseAboveAreKept(t *testing.T) {
	s := newSite()
	// Somebody's root that permits two authorities, of which one says nothing.
	top := authorityTemplate("Corporate root")
	top.MaxPathLen = 2
	root := must(selfSign(top, RootLife, Options{}))
	first := must((&Authority{chain: root.Chain, root: root.Leaf(), key: root.Key}).Intermediate("first", Options{}))
	if got := first.Certificate().MaxPathLen; got != 1 {
		t.Errorf("path length %d below one of 2", got)
	}
	second := must(first.Intermediate("second", Options{}))
	if got, limited := pathLimit(second.Certificate()); got != 0 || !limited {
		t.Errorf("path length %d, %v below one of 1", got, limited)
	}
	silent := &Authority{chain: second.chain, root: root.Leaf(), key: second.key}
	silent.chain[0].MaxPathLen = -1
	if _, err := silent.Intermediate("third", Options{}); !errors.Is(err, ErrPathLength) {
		t.Errorf("a third authority below a root that permits two: %v", err)
	}
	if _, limited := pathLimit(s.mid.Certificate()); limited {
		t.Error("an intermediate below a root without limit has one")
	}
}

func TestT3_WhatIsMadeWithAClockOf1970IsRightWhenTheClockIs(t *testing.T) {
	s := newSite()
	p := must(s.edge.Server([]string{"gw.local"}, Options{Now: at(time.Unix(0, 0))}))
	if found := Verify(p.Chain, Question{Roots: s.root.Chain(), Host: "gw.local"}); found != nil {
		t.Error(found)
	}
	if left := time.Until(p.Leaf().NotAfter); left < ServerLife-2*Backdate {
		t.Errorf("%v left of a new certificate", left)
	}
}
