-- +goose Up

-- Which key sent a chunk, so that what a key sent can be removed. Chunks from before have none.
ALTER TABLE recording_chunks ADD COLUMN key_id TEXT NOT NULL DEFAULT '';

CREATE INDEX recording_chunks_by_key ON recording_chunks (key_id, name) WHERE key_id <> '';

-- +goose Down
DROP INDEX recording_chunks_by_key;
ALTER TABLE recording_chunks DROP COLUMN key_id;
