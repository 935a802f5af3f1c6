package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/weir-analytics/weir/internal/access"
)

const (
	commandTime = 10 * time.Second // when nothing is said
	patience    = time.Second      // for what a command leaves running
	maxStderr   = 4096
	maxShown    = 512
	minSecret   = 6 // bytes; what is shorter is no secret, and occurs in every text
)

// FromCommand runs a command that the operator names, without a shell, and reads the master keys it prints, in the form
// of ParseKeys and of at most 1 KiB. It may take as long as limit, 10 s when that is not positive. When the time is over or
// ctx is done it is killed with all that it started, and so is what it leaves running that could still print. It has our
// environment and an empty standard input.
//
// An error shows the command's name and the beginning of what it said on standard error, without anything that could be
// a key; never its arguments, nor what it printed.
func FromCommand(ctx context.Context, argv []string, limit time.Duration) ([]Key, error) {
	if len(argv) == 0 || argv[0] == "" {
		return nil, errors.New("vault: no command is named that prints the master key")
	}
	if limit <= 0 {
		limit = commandTime
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	printed, said := &capped{most: maxSource, full: cancel}, &capped{most: maxStderr}
	defer printed.wipe()
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Stdout, c.Stderr, c.WaitDelay = printed, said, patience
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	err := c.Run()
	switch {
	case printed.over:
		err = fmt.Errorf("printed more than %d bytes, which is no master key", maxSource)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("took longer than %v", limit)
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, exec.ErrWaitDelay):
		_ = c.Cancel()
		err = errors.New("left something running that keeps its output open")
	}
	var keys []Key
	if err == nil {
		if keys, err = ParseKeys(access.SecretText(printed.text.String())); err == nil {
			return keys, nil
		}
	}
	if words := said.shown(printed.text.String()); words != "" {
		return nil, fmt.Errorf("the command for the master key, %q: %w; it said %q", argv[0], err, words)
	}
	return nil, fmt.Errorf("the command for the master key, %q: %w", argv[0], err)
}

// capped keeps the beginning of what is written to it, and calls full once when there is more.
type capped struct {
	text bytes.Buffer
	most int
	full func()
	over bool
}

// Write never fails, so that what does not matter does not stop the writer.
func (c *capped) Write(b []byte) (int, error) {
	room := c.most - c.text.Len()
	c.text.Write(b[:min(len(b), room)])
	if len(b) > room && !c.over {
		c.over = true
		if c.full != nil {
			c.full()
		}
	}
	return len(b), nil
}

func (c *capped) wipe() { clear(c.text.Bytes()) }

// secretLike is what a master key could look like, in either form.
var secretLike = regexp.MustCompile(`[0-9A-Za-z_-]{40,}`)

// shown is the beginning of the text, without what could be a key and without what else was printed.
func (c *capped) shown(printed string) string {
	text := c.text.String()
	if c.over { // the last word may be the beginning of a key
		text = text[:max(0, strings.LastIndexAny(text, " \n"))]
	}
	text = secretLike.ReplaceAllString(text, "[hidden]")
	for line := range strings.Lines(printed) {
		if line = strings.TrimSpace(line); len(line) >= minSecret {
			text = strings.ReplaceAll(text, line, "[hidden]")
		}
	}
	if text = strings.TrimSpace(text); len(text) > maxShown {
		text = text[:maxShown] + "…"
	}
	return strings.ToValidUTF8(text, "?")
}
