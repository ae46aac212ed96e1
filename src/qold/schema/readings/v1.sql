CREATE TABLE Temperature (
    device_id INTEGER NOT NULL,
    measured_at_ms INTEGER NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (device_id, measured_at_ms)
) WITHOUT ROWID;
CREATE TABLE Battery (
    device_id INTEGER NOT NULL,
    measured_at_ms INTEGER NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (device_id, measured_at_ms)
) WITHOUT ROWID;
