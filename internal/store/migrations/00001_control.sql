-- +goose Up

-- Times are microseconds since 1970. Texts compare byte for byte. Lists are JSON.

CREATE TABLE organizations (
	id TEXT NOT NULL PRIMARY KEY,
	name TEXT NOT NULL,
	created_at BIGINT NOT NULL
);

CREATE TABLE projects (
	id TEXT NOT NULL PRIMARY KEY,
	organization_id TEXT NOT NULL REFERENCES organizations (id),
	name TEXT NOT NULL,
	created_at BIGINT NOT NULL
);

CREATE TABLE environments (
	project_id TEXT NOT NULL REFERENCES projects (id),
	place INTEGER NOT NULL,
	name TEXT NOT NULL,
	mode TEXT NOT NULL CHECK (mode IN ('live', 'test')),
	PRIMARY KEY (project_id, name),
	UNIQUE (project_id, place)
);

-- Of a secret key there is the digest and nothing else.
CREATE TABLE keys (
	id TEXT NOT NULL PRIMARY KEY,
	project_id TEXT NOT NULL REFERENCES projects (id),
	kind TEXT NOT NULL CHECK (kind IN ('public', 'secret')),
	mode TEXT NOT NULL CHECK (mode IN ('live', 'test')),
	label TEXT NOT NULL,
	steward TEXT NOT NULL,
	scopes TEXT NOT NULL,
	environments TEXT NOT NULL,
	hint TEXT NOT NULL,
	public_text TEXT NOT NULL CHECK ((public_text = '') = (kind = 'secret')),
	digest TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL,
	expires_at BIGINT,
	revoked_at BIGINT,
	created_by TEXT NOT NULL,
	revision BIGINT NOT NULL
);

CREATE INDEX keys_by_project ON keys (project_id, created_at, id);

CREATE TABLE denials (
	id TEXT NOT NULL PRIMARY KEY,
	decided_at BIGINT NOT NULL,
	organization_id TEXT NOT NULL,
	project_id TEXT NOT NULL,
	key_id TEXT NOT NULL,
	action TEXT NOT NULL,
	reason TEXT NOT NULL,
	rule TEXT NOT NULL,
	environment TEXT NOT NULL,
	event TEXT NOT NULL,
	items BIGINT NOT NULL,
	address TEXT NOT NULL,
	request_id TEXT NOT NULL
);

CREATE INDEX denials_by_project ON denials (project_id, decided_at, id);
CREATE INDEX denials_by_key ON denials (project_id, key_id, decided_at, id);

CREATE TABLE denial_counts (
	project_id TEXT NOT NULL,
	hour_at BIGINT NOT NULL,
	key_id TEXT NOT NULL,
	reason TEXT NOT NULL,
	denials BIGINT NOT NULL,
	items BIGINT NOT NULL,
	PRIMARY KEY (project_id, hour_at, key_id, reason)
);

CREATE TABLE use_counts (
	project_id TEXT NOT NULL,
	hour_at BIGINT NOT NULL,
	key_id TEXT NOT NULL,
	action TEXT NOT NULL,
	environment TEXT NOT NULL,
	requests BIGINT NOT NULL,
	items BIGINT NOT NULL,
	PRIMARY KEY (project_id, hour_at, key_id, action, environment)
);

-- The last batch that each writer of the ledger has stored, so that no batch is counted twice.
CREATE TABLE ledger_writers (
	writer TEXT NOT NULL PRIMARY KEY,
	batch BIGINT NOT NULL
);

-- +goose Down
DROP TABLE ledger_writers;
DROP TABLE use_counts;
DROP TABLE denial_counts;
DROP TABLE denials;
DROP TABLE keys;
DROP TABLE environments;
DROP TABLE projects;
DROP TABLE organizations;
