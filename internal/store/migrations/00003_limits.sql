-- +goose Up

-- The one server whose counts are taken, and the last batch of them.
CREATE TABLE limit_server (
	one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
	server TEXT NOT NULL,
	batch BIGINT NOT NULL
);

-- What an account owes its rate, in billionths of a request; -1: it is in use, until owed_at at most. That one time is
-- in nanoseconds, since what is owed is counted by them.
CREATE TABLE limit_rates (
	account TEXT NOT NULL PRIMARY KEY,
	debt BIGINT NOT NULL,
	owed_at BIGINT NOT NULL,
	per_second BIGINT NOT NULL,
	day BIGINT NOT NULL
);

CREATE TABLE limit_days (
	day BIGINT NOT NULL,
	account TEXT NOT NULL,
	requests BIGINT NOT NULL,
	PRIMARY KEY (day, account)
);

CREATE TABLE limit_months (
	month BIGINT NOT NULL,
	account TEXT NOT NULL,
	spent BIGINT NOT NULL,
	PRIMARY KEY (month, account)
);

-- Credits that are set aside for requests, and those that were settled lately.
CREATE TABLE limit_reservations (
	key_account TEXT NOT NULL,
	request_id TEXT NOT NULL,
	project_account TEXT NOT NULL,
	month BIGINT NOT NULL,
	credits BIGINT NOT NULL,
	settled INTEGER NOT NULL,
	spent BIGINT NOT NULL,
	over_limit TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (key_account, request_id)
);

CREATE INDEX limit_reservations_by_time ON limit_reservations (settled, at);

-- +goose Down
DROP TABLE limit_reservations;
DROP TABLE limit_months;
DROP TABLE limit_days;
DROP TABLE limit_rates;
DROP TABLE limit_server;
