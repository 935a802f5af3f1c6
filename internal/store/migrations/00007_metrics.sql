-- +goose Up

CREATE TABLE metrics (
	project_id TEXT NOT NULL REFERENCES projects (id),
	id TEXT NOT NULL,
	description TEXT NOT NULL,
	owner TEXT NOT NULL,
	published BIGINT NOT NULL,
	latest BIGINT NOT NULL,
	revision BIGINT NOT NULL,
	created_at BIGINT NOT NULL,
	created_by TEXT NOT NULL,
	updated_at BIGINT NOT NULL,
	updated_by TEXT NOT NULL,
	PRIMARY KEY (project_id, id)
);

-- A version never changes, but for the time at which it was first published.
CREATE TABLE metric_versions (
	project_id TEXT NOT NULL,
	metric_id TEXT NOT NULL,
	version BIGINT NOT NULL,
	definition TEXT NOT NULL,
	cache_minutes INTEGER NOT NULL,
	created_at BIGINT NOT NULL,
	created_by TEXT NOT NULL,
	published_at BIGINT,
	PRIMARY KEY (project_id, metric_id, version),
	FOREIGN KEY (project_id, metric_id) REFERENCES metrics (project_id, id)
);

-- +goose Down
DROP TABLE metric_versions;
DROP TABLE metrics;
