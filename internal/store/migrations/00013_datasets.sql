-- +goose Up

-- Work that outlives the request that asked for it.
CREATE TABLE jobs (
	id TEXT NOT NULL PRIMARY KEY,
	project_id TEXT NOT NULL,
	environment TEXT NOT NULL,
	live INTEGER NOT NULL,
	key_id TEXT NOT NULL,
	owner TEXT NOT NULL,
	kind TEXT NOT NULL,
	about TEXT NOT NULL,
	spec TEXT NOT NULL,
	state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
	starts INTEGER NOT NULL,
	done BIGINT NOT NULL,
	total BIGINT NOT NULL,
	good BIGINT NOT NULL,
	refused BIGINT NOT NULL,
	place TEXT NOT NULL,
	result TEXT NOT NULL,
	code TEXT NOT NULL,
	detail TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	started_at BIGINT,
	ended_at BIGINT
);

CREATE INDEX jobs_by_project ON jobs (project_id, created_at, id);
CREATE INDEX jobs_by_end ON jobs (ended_at);

-- What a dataset is. Its records are in the warehouse, under its uid, which no other dataset ever has.
CREATE TABLE datasets (
	project_id TEXT NOT NULL REFERENCES projects (id),
	environment TEXT NOT NULL,
	folded TEXT NOT NULL, -- the id in small letters: no two differ in their case only
	id TEXT NOT NULL,
	uid TEXT NOT NULL UNIQUE,
	class TEXT NOT NULL,
	definition TEXT NOT NULL,
	revision BIGINT NOT NULL,
	created_at BIGINT NOT NULL,
	created_by TEXT NOT NULL,
	updated_at BIGINT NOT NULL,
	updated_by TEXT NOT NULL,
	PRIMARY KEY (project_id, environment, folded)
);

-- +goose Down
DROP TABLE datasets;
DROP TABLE jobs;
