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

-- +goose Down
DROP TABLE audit_entries;
