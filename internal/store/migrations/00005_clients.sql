-- +goose Up

-- Keys can be clients, which come of another key; and how often each was narrowed is counted, since tokens from before are
-- dead. What a kind can be is checked by the table, so that it is made anew.
CREATE TABLE keys_with_clients (
	id TEXT NOT NULL PRIMARY KEY,
	project_id TEXT NOT NULL REFERENCES projects (id),
	kind TEXT NOT NULL CHECK (kind IN ('public', 'secret', 'client')),
	parent TEXT NOT NULL DEFAULT '' CHECK ((parent = '') = (kind <> 'client')),
	mode TEXT NOT NULL CHECK (mode IN ('live', 'test')),
	label TEXT NOT NULL,
	steward TEXT NOT NULL,
	scopes TEXT NOT NULL,
	environments TEXT NOT NULL,
	hint TEXT NOT NULL,
	public_text TEXT NOT NULL CHECK ((public_text = '') = (kind <> 'public')),
	digest TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL,
	expires_at BIGINT,
	revoked_at BIGINT,
	created_by TEXT NOT NULL,
	revision BIGINT NOT NULL,
	settings TEXT NOT NULL DEFAULT '',
	state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled', 'quarantined')),
	generation BIGINT NOT NULL DEFAULT 1,
	minted_at BIGINT NOT NULL DEFAULT 0,
	former TEXT NOT NULL DEFAULT '',
	signing TEXT NOT NULL DEFAULT '',
	exposed TEXT NOT NULL DEFAULT '',
	exposed_at BIGINT,
	epoch BIGINT NOT NULL DEFAULT 0
);

INSERT INTO keys_with_clients (id, project_id, kind, mode, label, steward, scopes, environments, hint, public_text, digest, created_at, updated_at,
	expires_at, revoked_at, created_by, revision, settings, state, generation, minted_at, former, signing, exposed, exposed_at)
SELECT id, project_id, kind, mode, label, steward, scopes, environments, hint, public_text, digest, created_at, updated_at,
	expires_at, revoked_at, created_by, revision, settings, state, generation, minted_at, former, signing, exposed, exposed_at FROM keys;
DROP TABLE keys;
ALTER TABLE keys_with_clients RENAME TO keys;

CREATE INDEX keys_by_project ON keys (project_id, created_at, id);
CREATE INDEX keys_by_steward ON keys (project_id, steward, created_at, id);

-- +goose Down
CREATE TABLE keys_without_clients (
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
	revision BIGINT NOT NULL,
	settings TEXT NOT NULL DEFAULT '',
	state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled', 'quarantined')),
	generation BIGINT NOT NULL DEFAULT 1,
	minted_at BIGINT NOT NULL DEFAULT 0,
	former TEXT NOT NULL DEFAULT '',
	signing TEXT NOT NULL DEFAULT '',
	exposed TEXT NOT NULL DEFAULT '',
	exposed_at BIGINT
);

-- A client is nothing that there was before.
INSERT INTO keys_without_clients (id, project_id, kind, mode, label, steward, scopes, environments, hint, public_text, digest, created_at, updated_at,
	expires_at, revoked_at, created_by, revision, settings, state, generation, minted_at, former, signing, exposed, exposed_at)
SELECT id, project_id, kind, mode, label, steward, scopes, environments, hint, public_text, digest, created_at, updated_at,
	expires_at, revoked_at, created_by, revision, settings, state, generation, minted_at, former, signing, exposed, exposed_at FROM keys
WHERE kind <> 'client';
DROP TABLE keys;
ALTER TABLE keys_without_clients RENAME TO keys;

CREATE INDEX keys_by_project ON keys (project_id, created_at, id);
CREATE INDEX keys_by_steward ON keys (project_id, steward, created_at, id);
