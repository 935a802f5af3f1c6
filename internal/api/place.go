package api

import (
	"encoding/base64"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/problem"
)

// place is where a list by time goes on: at what happened at a time and has an id. The zero one is nowhere.
type place struct {
	At time.Time
	ID string
}

// cursor is the place as callers carry it, of letters, digits, - and _ only; nil: there is nothing more.
func (p place) cursor() *string {
	if p == (place{}) {
		return nil
	}
	return cursor(base64.RawURLEncoding.EncodeToString([]byte(p.At.UTC().Format(time.RFC3339Nano) + " " + p.ID)))
}

// placeOf reads what cursor wrote.
func placeOf(text string) (place, error) {
	if text == "" {
		return place{}, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	at, id, ok := strings.Cut(string(raw), " ")
	t, unreadable := time.Parse(time.RFC3339Nano, at)
	if !ok || err != nil || unreadable != nil {
		return place{}, problem.Invalid("query.cursor", "is not one that a list gave")
	}
	return place{t, id}, nil
}
