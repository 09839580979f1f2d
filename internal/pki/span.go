package pki

import (
	"fmt"
	"time"
)

// Span says a duration as people do: "3 hours", "45 days", "10 years".
func Span(d time.Duration) string {
	const day = 24 * time.Hour
	units := []struct {
		size time.Duration
		from time.Duration // where it is used
		name string
	}{
		{365 * day, 3 * 365 * day, "year"},
		{day, 2 * day, "day"},
		{time.Hour, 2 * time.Hour, "hour"},
		{time.Minute, 2 * time.Minute, "minute"},
	}
	for _, u := range units {
		if d.Round(u.size) >= u.from {
			return fmt.Sprintf("%d %ss", d.Round(u.size)/u.size, u.name)
		}
	}
	return fmt.Sprintf("%d seconds", d/time.Second)
}
