-- +goose Up

-- Whose key a key is that a member acts through, as JSON; empty: nobody's. Such a key is stored as a secret one, of which
-- nobody has the secret.
ALTER TABLE keys ADD COLUMN member TEXT NOT NULL DEFAULT '';

ALTER TABLE organizations ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;

-- A project that was deleted stays for what refers to it; its keys are nobody's.
ALTER TABLE projects ADD COLUMN deleted_at BIGINT;

-- What a project is set to beside its policy, as one JSON text.
CREATE TABLE project_settings (
	project_id TEXT NOT NULL PRIMARY KEY REFERENCES projects (id),
	settings TEXT NOT NULL,
	revision BIGINT NOT NULL
);

-- Of a password there is what argon2id makes of it.
CREATE TABLE members (
	id TEXT NOT NULL PRIMARY KEY,
	organization_id TEXT NOT NULL REFERENCES organizations (id),
	email TEXT NOT NULL,
	name TEXT NOT NULL,
	role TEXT NOT NULL,
	password TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL,
	removed_at BIGINT,
	revision BIGINT NOT NULL
);

CREATE UNIQUE INDEX members_by_email ON members (email) WHERE removed_at IS NULL;
CREATE INDEX members_by_organization ON members (organization_id, email);

-- Of what is sent to somebody who is invited, and of what a session goes on with, there are the digests.
CREATE TABLE invitations (
	id TEXT NOT NULL PRIMARY KEY,
	organization_id TEXT NOT NULL REFERENCES organizations (id),
	project_id TEXT NOT NULL REFERENCES projects (id),
	email TEXT NOT NULL,
	role TEXT NOT NULL,
	everywhere INTEGER NOT NULL,
	digest TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	created_by TEXT NOT NULL,
	expires_at BIGINT NOT NULL,
	status TEXT NOT NULL CHECK (status IN ('pending', 'accepted', 'revoked')),
	member_id TEXT NOT NULL
);

CREATE INDEX invitations_by_project ON invitations (organization_id, project_id, created_at, id);

CREATE TABLE member_sessions (
	id TEXT NOT NULL PRIMARY KEY,
	member_id TEXT NOT NULL REFERENCES members (id),
	project_id TEXT NOT NULL REFERENCES projects (id),
	key_id TEXT NOT NULL,
	digest TEXT NOT NULL,
	former TEXT NOT NULL,
	token_id TEXT NOT NULL,
	token_ends_at BIGINT NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL
);

CREATE INDEX member_sessions_by_expiry ON member_sessions (expires_at);
CREATE INDEX member_sessions_by_member ON member_sessions (member_id);

-- +goose Down
DROP TABLE member_sessions;
DROP TABLE invitations;
DROP TABLE members;
DROP TABLE project_settings;
-- A member's key is nothing that there was before.
DELETE FROM keys WHERE member <> '';
DELETE FROM environments WHERE project_id IN (SELECT id FROM projects WHERE deleted_at IS NOT NULL);
ALTER TABLE projects DROP COLUMN deleted_at;
ALTER TABLE organizations DROP COLUMN revision;
ALTER TABLE keys DROP COLUMN member;
