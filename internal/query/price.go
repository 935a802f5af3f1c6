package query

// Prices are what answers cost: a credit, and of one that was made for the question that asked for it another for each
// so many rows and each so many bytes of it. Negative: rows, or bytes, cost nothing more. Zero: the standard.
type Prices struct {
	Rows  int64 // for a credit
	Bytes int64
}

// The standard prices.
const (
	RowsPerCredit  = 1000
	BytesPerCredit = 1 << 20
)

func (p Prices) orStandard() Prices {
	if p.Rows == 0 {
		p.Rows = RowsPerCredit
	}
	if p.Bytes == 0 {
		p.Bytes = BytesPerCredit
	}
	return p
}

// Of is the price of rows that were written to so many bytes for whoever asked.
func (p Prices) Of(rows, bytes int64) int64 {
	return p.orStandard().of(&Answer{Rows: rows, Size: bytes})
}

// of is the price of an answer.
func (p Prices) of(a *Answer) int64 {
	price := int64(1)
	if a.Cached {
		return price
	}
	if p.Rows > 0 {
		price += a.Rows / p.Rows
	}
	if p.Bytes > 0 {
		price += a.Size / p.Bytes
	}
	return price
}
