-- +goose Up

-- Recordings of sessions: what is known of them beside the bytes of their chunks, which are in files. A recording is named by
-- the name of its folder.
CREATE TABLE recordings (
	name TEXT NOT NULL PRIMARY KEY,
	project_id TEXT NOT NULL,
	environment TEXT NOT NULL,
	session_id TEXT NOT NULL,
	chunks BIGINT NOT NULL,
	events BIGINT NOT NULL,
	bytes BIGINT NOT NULL,
	last BIGINT NOT NULL,
	first_at BIGINT NOT NULL,
	last_at BIGINT NOT NULL,
	started_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL
);

CREATE INDEX recordings_by_start ON recordings (project_id, environment, started_at, name);
CREATE INDEX recordings_by_update ON recordings (updated_at);

CREATE TABLE recording_chunks (
	name TEXT NOT NULL REFERENCES recordings (name),
	sequence BIGINT NOT NULL,
	digest TEXT NOT NULL,
	distinct_id TEXT NOT NULL, -- empty: none was named
	page TEXT NOT NULL, -- empty: it tells none
	events BIGINT NOT NULL,
	bytes BIGINT NOT NULL,
	first_at BIGINT NOT NULL,
	last_at BIGINT NOT NULL,
	received_at BIGINT NOT NULL,
	PRIMARY KEY (name, sequence)
);

CREATE INDEX recording_chunks_by_person ON recording_chunks (distinct_id, name) WHERE distinct_id <> '';
CREATE INDEX recording_chunks_with_page ON recording_chunks (name, sequence) WHERE page <> '';

-- How much the recordings of a project take.
CREATE TABLE recording_usage (
	project_id TEXT NOT NULL PRIMARY KEY,
	bytes BIGINT NOT NULL
);

-- +goose Down
DROP TABLE recording_usage;
DROP TABLE recording_chunks;
DROP TABLE recordings;
