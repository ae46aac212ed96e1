CREATE TABLE states (
    key TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    value TEXT NOT NULL,
    expires_at_ms INTEGER
) WITHOUT ROWID;
CREATE INDEX states_by_expiry ON states (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
