-- +goose Up

-- What was deleted, or is to be, and the receipt. A person is named by a keyed hash only.
CREATE TABLE deletions (
	id TEXT NOT NULL PRIMARY KEY,
	project_id TEXT NOT NULL,
	environment TEXT NOT NULL,
	live INTEGER NOT NULL,
	key_id TEXT NOT NULL,
	about TEXT NOT NULL, -- what it is of, as JSON
	created_at BIGINT NOT NULL,
	receipt TEXT NOT NULL -- empty: it is not done
);

CREATE INDEX deletions_by_space ON deletions (project_id, environment, created_at, id);

-- +goose Down
DROP TABLE deletions;
