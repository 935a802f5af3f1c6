package export

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strconv"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// linkPurpose begins what a project's secret of links is derived for.
const linkPurpose = "export/link/"

// The bounds on how long a link is good.
const (
	MinLink = time.Minute
	MaxLink = 24 * time.Hour
)

// Link is who made a link to the file of an export, and until when it is good. Its signature is made under a secret that
// nobody is ever shown, over the export, and the key with how often it was narrowed and which secret it has: it dies with
// any of them.
type Link struct {
	By        string // the id of the key
	Expires   time.Time
	Signature access.Text
}

// Link makes a link to an export for the key that asked for it, which ends when the file does at the latest, and when the
// secret does that was shown for it, if that was replaced.
//
// Problems: export_running, export_gone, unavailable where the server has no secret for links.
func (s *Service) Link(permit gate.Permit, e *Export, lifetime time.Duration) (Link, error) {
	if err := s.ready(permit, e); err != nil {
		return Link{}, err
	}
	now := s.cfg.Now()
	l := Link{By: permit.Key().ID, Expires: now.Add(lifetime).UTC().Truncate(time.Second)}
	for _, end := range [...]time.Time{e.ExpiresAt, permit.SecretUntil()} {
		if !end.IsZero() && l.Expires.After(end) {
			l.Expires = end.UTC().Truncate(time.Second)
		}
	}
	lookup, ok := access.LookupOf(l.By)
	entry, found := s.cfg.Keys.Lookup(lookup)
	if !ok || !found {
		return Link{}, problem.Invalid("path.id", "is for the holder of a key: this credential makes no links")
	}
	signature, err := s.sign(&entry, e.Job.ID, l.Expires)
	l.Signature = access.SecretText(signature)
	return l, err
}

// sign is the signature of a link.
func (s *Service) sign(entry *gate.Entry, id string, expires time.Time) (string, error) {
	if s.cfg.Derive == nil {
		return "", problem.New(problem.Unavailable, "The server has no secret to sign links with.")
	}
	secret, err := s.cfg.Derive(linkPurpose + entry.Key.Project.ID)
	if err != nil {
		return "", problem.Wrap(err, problem.Unavailable, "The server has no secret to sign links with.")
	}
	mac := hmac.New(sha256.New, secret)
	for _, part := range [...]string{
		id, entry.Key.ID, strconv.FormatInt(entry.Key.Epoch, 10), strconv.Itoa(entry.Generation), strconv.FormatInt(expires.Unix(), 10),
	} {
		_, _ = mac.Write(binary.AppendUvarint(nil, uint64(len(part))))
		_, _ = mac.Write([]byte(part))
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), nil
}

// errLink is what is the matter with a link: for the log alone, as whoever tries links is told nothing.
var errLink = errors.New("export: the signature, the key or the time of a link is not right")

// Linked gives the key that made a link to an export, when that is genuine, for the export named, and not over. Whether
// the key may still fetch the file is not its to say.
//
// Problems: link_not_accepted.
func (s *Service) Linked(id string, l Link) (access.Lookup, error) {
	wrong := problem.Wrap(errLink, problem.LinkNotAccepted, "The link is not a good one, or its time is over.")
	lookup, ok := access.LookupOf(l.By)
	entry, found := s.cfg.Keys.Lookup(lookup)
	if !ok || !found {
		entry = gate.Entry{Key: &access.Key{Project: &access.Project{}}} // the same work for all
	}
	want, err := s.sign(&entry, id, l.Expires)
	if err != nil {
		return access.Lookup{}, err
	}
	same := hmac.Equal([]byte(want), []byte(l.Signature.Reveal()))
	if !same || !ok || !found || !s.cfg.Now().Before(l.Expires) {
		return access.Lookup{}, wrong
	}
	return lookup, nil
}
