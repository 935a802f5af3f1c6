-- +goose Up

-- Workflows: what may be triggered by its id, and where that is sent or what event it becomes. Secrets are sealed.
CREATE TABLE workflows (
	project_id TEXT NOT NULL,
	environment TEXT NOT NULL,
	id TEXT NOT NULL,
	organization_id TEXT NOT NULL,
	name TEXT NOT NULL,
	url TEXT NOT NULL, -- empty: it records an event
	target TEXT NOT NULL, -- host and port of the url
	event TEXT NOT NULL, -- empty: it sends
	template TEXT NOT NULL, -- empty: the standard one
	enabled BIGINT NOT NULL,
	why TEXT NOT NULL, -- of one that the server disabled
	sealed TEXT NOT NULL,
	hint TEXT NOT NULL,
	former TEXT NOT NULL, -- empty: none
	former_until BIGINT,
	revision BIGINT NOT NULL,
	created_at BIGINT NOT NULL,
	created_by TEXT NOT NULL,
	updated_at BIGINT NOT NULL,
	updated_by TEXT NOT NULL,
	PRIMARY KEY (project_id, environment, id)
);

-- What came of each trigger. Times are microseconds.
CREATE TABLE workflow_deliveries (
	id TEXT NOT NULL PRIMARY KEY,
	project_id TEXT NOT NULL,
	environment TEXT NOT NULL,
	workflow_id TEXT NOT NULL,
	digest TEXT NOT NULL,
	user_id TEXT NOT NULL, -- empty: nobody
	target TEXT NOT NULL, -- empty: it was an event
	state TEXT NOT NULL, -- pending, delivered or failed
	attempts BIGINT NOT NULL,
	tries BIGINT NOT NULL,
	created_at BIGINT NOT NULL,
	since BIGINT NOT NULL,
	next_at BIGINT NOT NULL,
	last_at BIGINT,
	ended_at BIGINT,
	status BIGINT NOT NULL, -- 0: there was no answer
	excerpt TEXT NOT NULL,
	fault TEXT NOT NULL,
	body TEXT NOT NULL, -- the last column, as it may be long
	FOREIGN KEY (project_id, environment, workflow_id) REFERENCES workflows (project_id, environment, id)
);

CREATE INDEX workflow_deliveries_by_time ON workflow_deliveries (project_id, environment, workflow_id, created_at, id);
CREATE INDEX workflow_deliveries_due ON workflow_deliveries (next_at, id) WHERE state = 'pending';
CREATE INDEX workflow_deliveries_pending ON workflow_deliveries (project_id, environment, workflow_id) WHERE state = 'pending';
CREATE INDEX workflow_deliveries_ended ON workflow_deliveries (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX workflow_deliveries_by_user ON workflow_deliveries (project_id, environment, user_id) WHERE user_id <> '';

-- +goose Down
DROP TABLE workflow_deliveries;
DROP TABLE workflows;
