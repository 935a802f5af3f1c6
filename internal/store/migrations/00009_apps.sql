-- +goose Up

-- Apps of third parties, what they are let in with, and what they show for it. Of secrets, codes and refresh tokens there are
-- the digests and nothing else.
ALTER TABLE keys ADD COLUMN app TEXT NOT NULL DEFAULT '';

CREATE INDEX keys_by_app ON keys (project_id, app, created_at, id);

CREATE TABLE apps (
	id TEXT NOT NULL PRIMARY KEY,
	project_id TEXT NOT NULL REFERENCES projects (id),
	mode TEXT NOT NULL CHECK (mode IN ('live', 'test')),
	name TEXT NOT NULL,
	redirects TEXT NOT NULL,
	digest TEXT NOT NULL, -- of the secret; empty: the app is public
	dpop INTEGER NOT NULL,
	created_at BIGINT NOT NULL,
	created_by TEXT NOT NULL,
	revoked_at BIGINT
);

CREATE INDEX apps_by_project ON apps (project_id, created_at, id);

CREATE TABLE app_codes (
	digest TEXT NOT NULL PRIMARY KEY,
	app_id TEXT NOT NULL,
	project_id TEXT NOT NULL,
	grant_id TEXT NOT NULL,
	challenge TEXT NOT NULL,
	redirect TEXT NOT NULL,
	resource TEXT NOT NULL,
	thumbprint TEXT NOT NULL,
	expires_at BIGINT NOT NULL,
	used_at BIGINT
);

CREATE INDEX app_codes_by_expiry ON app_codes (expires_at);

CREATE TABLE app_refresh (
	digest TEXT NOT NULL PRIMARY KEY,
	app_id TEXT NOT NULL,
	project_id TEXT NOT NULL,
	grant_id TEXT NOT NULL, -- the family
	number BIGINT NOT NULL,
	resource TEXT NOT NULL,
	thumbprint TEXT NOT NULL,
	expires_at BIGINT NOT NULL,
	replaced_at BIGINT,
	UNIQUE (grant_id, number)
);

CREATE INDEX app_refresh_by_expiry ON app_refresh (expires_at);

-- +goose Down
DROP TABLE app_refresh;
DROP TABLE app_codes;
DROP TABLE apps;
DROP INDEX keys_by_app;
ALTER TABLE keys DROP COLUMN app;
