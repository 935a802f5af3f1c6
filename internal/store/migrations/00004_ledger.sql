-- +goose Up

-- Who changed what. Entries are only ever added; triggers see to it.
CREATE TABLE audit_entries (
	id TEXT NOT NULL PRIMARY KEY,
	made_at BIGINT NOT NULL,
	organization_id TEXT NOT NULL,
	project_id TEXT NOT NULL,
	actor TEXT NOT NULL,
	address TEXT NOT NULL,
	request_id TEXT NOT NULL,
	action TEXT NOT NULL,
	subject TEXT NOT NULL,
	before_json TEXT NOT NULL,
	after_json TEXT NOT NULL
);

CREATE INDEX audit_entries_by_project ON audit_entries (project_id, made_at, id);
CREATE INDEX audit_entries_by_subject ON audit_entries (project_id, subject, made_at, id);

-- +goose StatementBegin
CREATE TRIGGER audit_entries_do_not_change BEFORE UPDATE ON audit_entries
BEGIN
	SELECT RAISE(ABORT, 'entries of the audit do not change');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_entries_do_not_go BEFORE DELETE ON audit_entries
BEGIN
	SELECT RAISE(ABORT, 'entries of the audit are not removed');
END;
-- +goose StatementEnd

-- An entry that is there already stays as it is, also where a statement would replace it.
-- +goose StatementBegin
CREATE TRIGGER audit_entries_are_not_replaced BEFORE INSERT ON audit_entries
WHEN EXISTS (SELECT 1 FROM audit_entries WHERE id = NEW.id)
BEGIN
	SELECT RAISE(IGNORE);
END;
-- +goose StatementEnd

-- All that was decided, as far as it was kept; lists are JSON.
ALTER TABLE denials ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;
ALTER TABLE denials ADD COLUMN outcome TEXT NOT NULL DEFAULT 'denied' CHECK (outcome IN ('denied', 'observed', 'limited'));
ALTER TABLE denials ADD COLUMN origin TEXT NOT NULL DEFAULT '';
ALTER TABLE denials ADD COLUMN via TEXT NOT NULL DEFAULT '';
ALTER TABLE denials ADD COLUMN signed TEXT NOT NULL DEFAULT '';
ALTER TABLE denials ADD COLUMN agent TEXT NOT NULL DEFAULT '';
ALTER TABLE denials ADD COLUMN sdk TEXT NOT NULL DEFAULT '';
ALTER TABLE denials ADD COLUMN failed TEXT NOT NULL DEFAULT '';
ALTER TABLE denials ADD COLUMN remedies TEXT NOT NULL DEFAULT '';
ALTER TABLE denials ADD COLUMN detail TEXT NOT NULL DEFAULT '';

-- How often something happened in a span of so many seconds: a minute, an hour or a day.
CREATE TABLE usage_counts (
	project_id TEXT NOT NULL,
	span BIGINT NOT NULL CHECK (span IN (60, 3600, 86400)),
	began_at BIGINT NOT NULL,
	key_id TEXT NOT NULL,
	outcome TEXT NOT NULL CHECK (outcome IN ('allowed', 'denied', 'observed', 'limited')),
	reason TEXT NOT NULL,
	action TEXT NOT NULL,
	environment TEXT NOT NULL,
	event TEXT NOT NULL,
	network TEXT NOT NULL,
	requests BIGINT NOT NULL,
	items BIGINT NOT NULL,
	PRIMARY KEY (project_id, span, began_at, key_id, outcome, reason, action, environment, event, network)
);

-- Up to where the counts of a project by a shorter span have been added to those by this one. What comes later than that is
-- added to both.
CREATE TABLE usage_sums (
	project_id TEXT NOT NULL,
	span BIGINT NOT NULL CHECK (span IN (3600, 86400)),
	until_at BIGINT NOT NULL,
	PRIMARY KEY (project_id, span)
);

INSERT INTO usage_counts (project_id, span, began_at, key_id, outcome, reason, action, environment, event, network, requests, items)
SELECT project_id, 3600, hour_at, key_id, 'denied', reason, '', '', '', '', denials, items FROM denial_counts;
INSERT INTO usage_counts (project_id, span, began_at, key_id, outcome, reason, action, environment, event, network, requests, items)
SELECT project_id, 3600, hour_at, key_id, 'allowed', '', action, environment, '', '', requests, items FROM use_counts;
DROP TABLE denial_counts;
DROP TABLE use_counts;

-- What the attempts of a key looked like on a day.
CREATE TABLE attempt_shapes (
	project_id TEXT NOT NULL,
	key_id TEXT NOT NULL,
	day_at BIGINT NOT NULL,
	id TEXT NOT NULL,
	generation BIGINT NOT NULL,
	outcome TEXT NOT NULL CHECK (outcome IN ('allowed', 'denied', 'observed', 'limited')),
	reason TEXT NOT NULL,
	action TEXT NOT NULL,
	environment TEXT NOT NULL,
	event TEXT NOT NULL,
	network TEXT NOT NULL,
	origin TEXT NOT NULL,
	via TEXT NOT NULL,
	signed TEXT NOT NULL,
	agent TEXT NOT NULL,
	sdk TEXT NOT NULL,
	other INTEGER NOT NULL,
	first_at BIGINT NOT NULL,
	last_at BIGINT NOT NULL,
	requests BIGINT NOT NULL,
	refused BIGINT NOT NULL,
	items BIGINT NOT NULL,
	PRIMARY KEY (project_id, key_id, day_at, id)
);

CREATE INDEX attempt_shapes_by_day ON attempt_shapes (day_at);

-- When each secret of a key was last used with success, and by whom.
CREATE TABLE key_uses (
	project_id TEXT NOT NULL,
	key_id TEXT NOT NULL,
	generation BIGINT NOT NULL,
	last_at BIGINT NOT NULL,
	address TEXT NOT NULL,
	agent TEXT NOT NULL,
	sdk TEXT NOT NULL,
	PRIMARY KEY (project_id, key_id, generation)
);

-- +goose Down
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
INSERT INTO denial_counts (project_id, hour_at, key_id, reason, denials, items)
SELECT project_id, began_at - began_at % 3600000000, key_id, reason, SUM(requests), SUM(items) FROM usage_counts c
WHERE outcome IN ('denied', 'limited') AND (span = 3600 OR span = 60 AND NOT EXISTS (
	SELECT 1 FROM usage_sums s WHERE s.project_id = c.project_id AND s.span = 3600 AND s.until_at > c.began_at)) GROUP BY 1, 2, 3, 4;
INSERT INTO use_counts (project_id, hour_at, key_id, action, environment, requests, items)
SELECT project_id, began_at - began_at % 3600000000, key_id, action, environment, SUM(requests), SUM(items) FROM usage_counts c
WHERE outcome = 'allowed' AND (span = 3600 OR span = 60 AND NOT EXISTS (
	SELECT 1 FROM usage_sums s WHERE s.project_id = c.project_id AND s.span = 3600 AND s.until_at > c.began_at)) GROUP BY 1, 2, 3, 4, 5;
DROP TABLE key_uses;
DROP TABLE attempt_shapes;
DROP TABLE usage_sums;
DROP TABLE usage_counts;
ALTER TABLE denials DROP COLUMN detail;
ALTER TABLE denials DROP COLUMN remedies;
ALTER TABLE denials DROP COLUMN failed;
ALTER TABLE denials DROP COLUMN sdk;
ALTER TABLE denials DROP COLUMN agent;
ALTER TABLE denials DROP COLUMN signed;
ALTER TABLE denials DROP COLUMN via;
ALTER TABLE denials DROP COLUMN origin;
ALTER TABLE denials DROP COLUMN outcome;
ALTER TABLE denials DROP COLUMN generation;
DROP TABLE audit_entries;
