package deletion

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Receipt says what was deleted. Nobody is named in it.
type Receipt struct {
	ID          string    `json:"deletion_id" doc:"The deletion." example:"del_2W3FQ6DZL4XKYB5RA7TS"`
	Project     string    `json:"project"`
	Environment string    `json:"environment" example:"production"`
	Of          Of        `json:"of"`
	By          string    `json:"requested_by" doc:"The key that asked, 'operator', or 'system' for what an environment does not keep any longer."`
	RequestedAt time.Time `json:"requested_at"`
	CompletedAt time.Time `json:"completed_at"`
	Removed     []Removed `json:"removed" doc:"What was removed, where."`
}

// Removed is how much was removed from a part.
type Removed struct {
	Part  string `json:"part" doc:"events, events_changed, persons, journal, statements, jobs, or the name of another part." example:"events"`
	Count int64  `json:"count"`
}

// Signed is a receipt with what proves it.
type Signed struct {
	Receipt Receipt `json:"receipt"`
	SHA256  string  `json:"sha256"`        // of the receipt's canonical form (RFC 8785), in hexadecimal
	HMAC    string  `json:"hmac,omitzero"` // HMAC-SHA-256 of the same, under a secret of the master key; empty: there was none
}

// What secrets are derived for.
const (
	receiptPurpose = "deletion/receipt"
	personPurpose  = "deletion/person/"
)

// canonical is a receipt as it is hashed.
func canonical(r *Receipt) ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	v := jsontext.Value(text)
	err = v.Canonicalize()
	return v, err
}

// sign makes a receipt one that can be proven.
func (s *Service) sign(r Receipt) (Signed, error) {
	text, err := canonical(&r)
	if err != nil {
		return Signed{}, fmt.Errorf("deletion: the receipt: %w", err)
	}
	sum := sha256.Sum256(text)
	return Signed{r, hex.EncodeToString(sum[:]), s.mac(receiptPurpose, text)}, nil
}

// Verify reports whether a receipt is as this server wrote it. After the master key was replaced, none is.
func (s *Service) Verify(signed *Signed) bool {
	text, err := canonical(&signed.Receipt)
	if err != nil {
		return false
	}
	mac := s.mac(receiptPurpose, text)
	sum := sha256.Sum256(text)
	return mac != "" && hmac.Equal([]byte(mac), []byte(signed.HMAC)) && hex.EncodeToString(sum[:]) == signed.SHA256
}

// mac is a keyed hash; empty without a master key.
func (s *Service) mac(purpose string, text []byte) string {
	secret, err := s.cfg.Derive(purpose)
	if err != nil {
		return ""
	}
	mac := hmac.New(sha256.New, secret)
	_, _ = mac.Write(text)
	return hex.EncodeToString(mac.Sum(nil))
}

// person names somebody so that whoever knows the id and has this server's master key can tell that it is they.
func (s *Service) person(project, environment, id string) string {
	return s.mac(personPurpose+project+"/"+environment, []byte(id))
}
