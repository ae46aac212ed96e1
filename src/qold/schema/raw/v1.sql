CREATE TABLE raw (
    device_id INTEGER NOT NULL,
    measured_at_ms INTEGER NOT NULL,
    fingerprint INTEGER NOT NULL,
    message TEXT NOT NULL,
    origin TEXT NOT NULL,
    PRIMARY KEY (device_id, measured_at_ms, fingerprint)
) WITHOUT ROWID;
