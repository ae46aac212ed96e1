-- The source's table T7.2. AUTOINCREMENT: an id is never used again, so that a row deleted by its
-- id cannot be a newer one.
CREATE TABLE Messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    timestamp INTEGER NOT NULL,
    message STRING NOT NULL,
    topic STRING NOT NULL
);

-- Which items were stored, so that a repeated frame is recognised; `temperature` and `battery` as
-- on the radio link, where a fault and an unknown level are numbers. All times in Unix seconds.
CREATE TABLE Items (
    device_id INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    measured INTEGER NOT NULL,
    temperature INTEGER NOT NULL,
    battery INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    heard INTEGER NOT NULL,
    PRIMARY KEY (device_id, sequence, measured, temperature, battery, flags)
) WITHOUT ROWID;

CREATE INDEX items_heard ON Items (heard);
