CREATE TABLE last_seen (
    device_id INTEGER PRIMARY KEY,
    seen_at_ms INTEGER NOT NULL
);
CREATE INDEX last_seen_by_time ON last_seen (seen_at_ms);
