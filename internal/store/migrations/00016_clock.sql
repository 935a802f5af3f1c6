-- +goose Up

-- How the clock went, by which it is judged what has become old. It has one row. Times are microseconds.
CREATE TABLE clock (
	one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
	since BIGINT NOT NULL, -- since when it goes on evenly
	seen BIGINT NOT NULL -- when it was looked at last
);

-- +goose Down
DROP TABLE clock;
