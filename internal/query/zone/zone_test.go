package zone_test

import (
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/query/zone"
)

// Promise: names of the IANA database are zones, and nothing else is: no path, no zone of the machine.
func TestNamed(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "UTC", "Europe/Paris", "America/Argentina/Buenos_Aires", "Etc/GMT+3", "EST"} {
		if _, err := zone.Named(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"Local", "europe/paris", "Europe/Nowhere", "../Europe/Paris", "/etc/localtime", "Europe/Paris'", "Europe//Paris", " ", "+02:00", "A" + strings.Repeat("a", 100)} {
		if l, err := zone.Named(name); err == nil {
			t.Errorf("%s is %s", name, l)
		}
	}
}
