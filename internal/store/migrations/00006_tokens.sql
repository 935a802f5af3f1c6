-- +goose Up

-- What access tokens are signed with: the private keys are sealed under the master key.
CREATE TABLE token_signing_keys (
	number BIGINT NOT NULL PRIMARY KEY,
	id TEXT NOT NULL,
	sealed TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	from_at BIGINT NOT NULL
);

-- Tokens that were revoked before they expired; with an empty id, all of a client's that were issued until then.
CREATE TABLE token_revocations (
	client_id TEXT NOT NULL,
	id TEXT NOT NULL,
	through_at BIGINT,
	expires_at BIGINT NOT NULL,
	PRIMARY KEY (client_id, id),
	CHECK ((id = '') = (through_at IS NOT NULL))
);

CREATE INDEX token_revocations_by_expiry ON token_revocations (expires_at);

-- +goose Down
DROP TABLE token_revocations;
DROP TABLE token_signing_keys;
