CREATE TABLE alerts (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    fired_at_ms INTEGER NOT NULL,
    started_at_ms INTEGER NOT NULL,
    ended_at_ms INTEGER, -- when it was over already as it fired
    value REAL,
    limit_value REAL,
    is_live INTEGER NOT NULL,
    detail TEXT NOT NULL,
    topology TEXT NOT NULL,
    opened_at_ms INTEGER NOT NULL,
    planned_at_ms INTEGER, -- NULL: nobody has decided who hears it
    acknowledged_by TEXT,
    acknowledged_at_ms INTEGER
) WITHOUT ROWID;
CREATE INDEX alerts_by_time ON alerts (fired_at_ms);
CREATE INDEX alerts_by_subject ON alerts (subject, kind, fired_at_ms);
CREATE INDEX alerts_unplanned ON alerts (topology, opened_at_ms) WHERE planned_at_ms IS NULL;
CREATE TABLE deliveries (
    alert_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    address TEXT NOT NULL,
    locale TEXT NOT NULL,
    name TEXT NOT NULL,
    due_at_ms INTEGER NOT NULL,
    topology TEXT NOT NULL, -- as of the alert, like the next two
    opened_at_ms INTEGER NOT NULL,
    fired_at_ms INTEGER NOT NULL,
    message_id TEXT, -- NULL: waiting, or expired before it was in a message
    status TEXT NOT NULL, -- waiting, sending, delivered, refused, expired
    changed_at_ms INTEGER NOT NULL,
    PRIMARY KEY (alert_id, channel, address)
) WITHOUT ROWID;
CREATE INDEX deliveries_waiting ON deliveries (topology, channel, address, due_at_ms)
    WHERE status = 'waiting';
CREATE INDEX deliveries_by_age ON deliveries (opened_at_ms) WHERE status = 'waiting';
CREATE INDEX deliveries_by_message ON deliveries (message_id) WHERE message_id IS NOT NULL;
CREATE TABLE messages (
    id TEXT PRIMARY KEY,
    topology TEXT NOT NULL,
    channel TEXT NOT NULL,
    address TEXT NOT NULL,
    locale TEXT NOT NULL,
    opened_at_ms INTEGER NOT NULL, -- of its newest alert
    is_sending INTEGER NOT NULL,
    next_at_ms INTEGER NOT NULL, -- when its retry or its lease is due
    attempts INTEGER NOT NULL,
    detail TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX messages_sending ON messages (topology, channel, next_at_ms) WHERE is_sending;
CREATE TABLE excursions (
    device_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    started_at_ms INTEGER NOT NULL,
    confirmed_at_ms INTEGER NOT NULL,
    ended_at_ms INTEGER, -- NULL while it is open
    extreme REAL NOT NULL,
    observed_ms INTEGER NOT NULL,
    PRIMARY KEY (device_id, kind, started_at_ms)
) WITHOUT ROWID;
-- An alert is over with the excursion it fired in, or with the return from the same silence; where
-- a rebuild has left no such excursion, it was over as it fired.
CREATE VIEW stories AS
SELECT alerts.*,
    CASE
        WHEN ended_at_ms IS NOT NULL THEN ended_at_ms
        WHEN kind LIKE '%.back' THEN fired_at_ms
        WHEN kind LIKE '%.silent' THEN (
            SELECT min(back.fired_at_ms) FROM alerts AS back
            WHERE back.subject = alerts.subject
                AND back.kind = replace(alerts.kind, '.silent', '.back')
                AND back.started_at_ms = alerts.started_at_ms
        )
        WHEN kind LIKE 'temperature.%' OR kind LIKE 'battery.%' THEN coalesce(
            (
                SELECT coalesce(excursions.ended_at_ms, -1) FROM excursions
                WHERE device_id = CAST(substr(subject, 8) AS INTEGER)
                    AND excursions.kind = alerts.kind
                    AND excursions.started_at_ms <= alerts.fired_at_ms
                    AND coalesce(excursions.ended_at_ms, alerts.fired_at_ms) >= alerts.fired_at_ms
                ORDER BY excursions.started_at_ms DESC LIMIT 1
            ),
            fired_at_ms
        )
    END AS over_at_ms -- NULL or -1 while it is not
FROM alerts;
