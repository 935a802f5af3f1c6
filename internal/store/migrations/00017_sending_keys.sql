-- +goose Up

-- Which key sent a chunk of a recording, or triggered a delivery, so that what a key sent can be removed. Those of before have none.
ALTER TABLE recording_chunks ADD COLUMN key_id TEXT NOT NULL DEFAULT '';

CREATE INDEX recording_chunks_by_key ON recording_chunks (key_id, name) WHERE key_id <> '';

ALTER TABLE workflow_deliveries ADD COLUMN key_id TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE workflow_deliveries DROP COLUMN key_id;
DROP INDEX recording_chunks_by_key;
ALTER TABLE recording_chunks DROP COLUMN key_id;
