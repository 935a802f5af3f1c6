-- +goose Up

-- The bytes of a metric's definitions, all versions together, so that those of a project are added up without reading them.
ALTER TABLE metrics ADD COLUMN bytes BIGINT NOT NULL DEFAULT 0;
UPDATE metrics SET bytes = (SELECT coalesce(sum(octet_length(v.definition)), 0) FROM metric_versions v
	WHERE v.project_id = metrics.project_id AND v.metric_id = metrics.id);

-- +goose Down
ALTER TABLE metrics DROP COLUMN bytes;
