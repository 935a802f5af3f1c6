-- +goose Up

-- What a key is narrowed and limited to, as one JSON text; empty: of a key from before there was any of it.
ALTER TABLE keys ADD COLUMN settings TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled', 'quarantined'));
-- Of replaced secrets there are the digests, as JSON; the signing secret is sealed under the master key.
ALTER TABLE keys ADD COLUMN generation BIGINT NOT NULL DEFAULT 1;
ALTER TABLE keys ADD COLUMN minted_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN former TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN signing TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN exposed TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN exposed_at BIGINT;

UPDATE keys SET minted_at = created_at;

CREATE INDEX keys_by_steward ON keys (project_id, steward, created_at, id);

-- What a project decides for all its keys, as JSON; empty: nothing.
ALTER TABLE projects ADD COLUMN policy TEXT NOT NULL DEFAULT '';
ALTER TABLE projects ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;

-- +goose Down
ALTER TABLE projects DROP COLUMN revision;
ALTER TABLE projects DROP COLUMN policy;
DROP INDEX keys_by_steward;
ALTER TABLE keys DROP COLUMN exposed_at;
ALTER TABLE keys DROP COLUMN exposed;
ALTER TABLE keys DROP COLUMN signing;
ALTER TABLE keys DROP COLUMN former;
ALTER TABLE keys DROP COLUMN minted_at;
ALTER TABLE keys DROP COLUMN generation;
ALTER TABLE keys DROP COLUMN state;
ALTER TABLE keys DROP COLUMN settings;
