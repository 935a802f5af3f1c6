package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/mention"
)

// Forget deletes the files of a space's exports, and notes that on them. What is being written is written anew from what
// there is when Forget returns; deleted counts the files that were whole. An export that is not over and whose conditions, or
// the view of whoever asked, name one of some ids is cancelled. It is for whoever has deleted data of the space, and may be
// called again.
func (s *Service) Forget(ctx context.Context, project, environment string, ids []string) (deleted int64, err error) {
	of := space{project, environment}
	folder, err := s.folder(of)
	if err != nil {
		return 0, err
	}
	if who := mention.Of(ids); !who.None() {
		_, err := s.cfg.Jobs.CancelIf(ctx, project, environment, func(j job.Job) bool { return j.Kind == Kind && asksFor(j.Spec, who) })
		if err != nil {
			return 0, fmt.Errorf("export: forget: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgot[forgotten{of, ""}]++
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("export: forget: %w", err)
	}
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return deleted, err
		}
		id, whole := strings.CutSuffix(entry.Name(), wholeFile)
		part, partly := strings.CutSuffix(entry.Name(), partFile)
		switch {
		case whole:
			err = s.remove(of, id, GoneForgotten)
			deleted++
		case partly && s.writing[part] == nil: // left behind by a crash; its job begins it anew
			err = os.Remove(filepath.Join(folder, entry.Name()))
		case partly:
			err = os.Truncate(filepath.Join(folder, entry.Name()), 0) // the writer does not know; it is dropped at its end
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return deleted, fmt.Errorf("export: forget: %w", err)
		}
	}
	return deleted, syncFolder(folder)
}

// asksFor reports whether an export's conditions, or the view of whoever asked, name one of some ids.
func asksFor(of jsontext.Value, who mention.IDs) bool {
	return who.InMembers(of, "value", "values", "filter")
}

// ForgetDataset deletes the files of those exports of a space that have records which were kept under a uid. What is being
// written is written anew. It is for whoever has deleted some of them, and may be called again.
func (s *Service) ForgetDataset(ctx context.Context, project, environment, uid string) (deleted int64, err error) {
	of := space{project, environment}
	folder, err := s.folder(of)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.forgot[forgotten{of, uid}]++ // what becomes whole from now on has none of what was deleted
	s.mu.Unlock()
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("export: forget: %w", err)
	}
	for _, entry := range entries {
		id, whole := strings.CutSuffix(entry.Name(), wholeFile)
		if !whole {
			continue
		}
		meant, err := s.isOf(ctx, project, id, uid)
		if err == nil && meant {
			err = s.forgetFile(of, id)
			deleted++
		}
		if err != nil {
			return deleted, fmt.Errorf("export: forget: %w", err)
		}
	}
	return deleted, nil
}

// isOf reports whether an export has the records under a uid, or nobody knows what it has.
func (s *Service) isOf(ctx context.Context, project, id, uid string) (bool, error) {
	j, found, err := s.cfg.Jobs.Find(ctx, project, id)
	if err != nil || !found {
		return err == nil, err
	}
	var sp spec
	if err := json.Unmarshal(j.Spec, &sp); err != nil {
		return false, err
	}
	return sp.UID == uid, nil
}

func (s *Service) forgetFile(of space, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.remove(of, id, GoneForgotten)
}
