package event_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
)

// typical is one event as a browser sends it, of about 300 bytes.
const typical = `{"timestamp":"2026-11-22T03:38:30.319Z","event":"$pageview","environment":"production",` +
	`"device_id":"device-0193e5a2-7c1b","distinct_id":"user_48151623","anonymous_id":null,"session_id":"session-0193e5a2",` +
	`"properties":{"$lib":"@altertable/altertable-js","$url":"https://shop.example/cart","$viewport":"780x437","$referer":null,"items":3}}`

func BenchmarkReadBatch(b *testing.B) {
	for name, body := range map[string]string{
		"one":     typical,
		"hundred": "[" + strings.Repeat(typical+",", 99) + typical + "]",
	} {
		b.Run(name, func(b *testing.B) {
			text := []byte(body)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if batch, err := event.ReadBatch(text, track); err != nil || batch.FirstProblem() != nil {
					b.Fatal(err, batch.FirstProblem())
				}
			}
		})
	}
}

// BenchmarkRecord is the cost of recording itself: the journal takes everything at once and keeps nothing.
func BenchmarkRecord(b *testing.B) {
	for name, count := range map[string]int{"one": 1, "hundred": 100} {
		b.Run(name, func(b *testing.B) {
			body := "[" + strings.Repeat(typical+",", count-1) + typical + "]"
			batch, err := event.ReadBatch([]byte(body), track)
			if err != nil {
				b.Fatal(err)
			}
			permit := gatetest.New(b).Permit(access.Attempt{Action: access.WriteEvents, Each: true, Targets: batch.Targets()})
			service := event.New(event.Config{Journal: instant{}, Live: new(event.Live), Random: rand.Reader})
			items := make([]event.Item, len(batch.Items))
			b.ReportAllocs()
			for b.Loop() {
				copy(items, batch.Items) // recording stamps the items
				receipt, err := service.Record(b.Context(), permit, event.Batch{Shape: track, Items: items})
				if err != nil || receipt.Accepted != count {
					b.Fatal(receipt, err)
				}
			}
		})
	}
}

func BenchmarkDecodeEvent(b *testing.B) {
	batch, err := event.ReadBatch([]byte(typical), track)
	if err != nil {
		b.Fatal(err)
	}
	data := event.AppendEvent(nil, &batch.Items[0].Event)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if e, err := event.DecodeEvent(data); err != nil || !bytes.Equal(e.Properties, batch.Items[0].Event.Properties) {
			b.Fatal(e, err)
		}
	}
}

// instant is a journal that takes everything and keeps nothing.
type instant struct{ event.Journal }

func (instant) Append(context.Context, [][]byte) (event.Position, error) { return 1, nil }

var track = event.Shape{Kind: event.Track, Source: "track"}
