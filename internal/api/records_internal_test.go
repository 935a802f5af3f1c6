package api

import (
	"testing"

	"golang.org/x/sync/semaphore"

	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: large answers with records take so much memory together and no more, small ones go beside them, and what was sent
// gives its memory back.
func TestAnswersWithRecordsAreBounded(t *testing.T) {
	t.Parallel()
	a := &API{answers: semaphore.NewWeighted(allAnswers)}
	all, few := (&dataset.Ask{Datasets: []string{"D"}, Range: "max"}).Bytes(), (&dataset.Ask{Datasets: []string{"D"}, Keys: []string{"a", "b"}, Last: 8}).Bytes()
	if all != dataset.MaxReadBytes || few != smallAnswer {
		t.Fatalf("all is %d bytes, few are %d", all, few)
	}
	var held []recordsRead
	for {
		done, err := a.holdAnswer(all)
		if problem.Of(err) == problem.Unavailable {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, recordsRead{done: done})
	}
	if len(held) != allAnswers/dataset.MaxReadBytes {
		t.Errorf("%d are sent at once", len(held))
	}
	if _, err := a.holdAnswer(few); err != nil {
		t.Errorf("a small one: %v", err)
	}
	drop(held[0])
	if _, err := a.holdAnswer(all); err != nil {
		t.Errorf("after one was sent: %v", err)
	}
}
