-- +goose Up

-- The history of queries: what was asked, without parameters, and what became of it.
CREATE TABLE query_runs (
	id TEXT NOT NULL PRIMARY KEY,
	project_id TEXT NOT NULL,
	key_id TEXT NOT NULL,
	owner TEXT NOT NULL, -- the key, or one token of a client
	environment TEXT NOT NULL,
	live INTEGER NOT NULL,
	statement TEXT NOT NULL,
	started_at BIGINT NOT NULL,
	elapsed BIGINT NOT NULL,
	answer_rows BIGINT NOT NULL,
	answer_bytes BIGINT NOT NULL,
	credits BIGINT NOT NULL,
	status TEXT NOT NULL CHECK (status IN ('running', 'succeeded', 'failed', 'cancelled', 'lost')),
	code TEXT NOT NULL,
	cached INTEGER NOT NULL,
	background INTEGER NOT NULL
);

CREATE INDEX query_runs_by_project ON query_runs (project_id, started_at, id);
CREATE INDEX query_runs_by_start ON query_runs (started_at);

-- +goose Down
DROP TABLE query_runs;
