CREATE TABLE topics (
    topic TEXT PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE,
    partitions INTEGER NOT NULL
);
CREATE TABLE heads (
    topic_number INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    first_offset INTEGER NOT NULL,
    PRIMARY KEY (topic_number, partition)
) WITHOUT ROWID;
CREATE TABLE records (
    id INTEGER PRIMARY KEY, -- topic_number << 48 | partition << 40 | offset
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    appended_at_ms INTEGER NOT NULL
);
CREATE TABLE offsets (
    consumer TEXT NOT NULL,
    topic_number INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (consumer, topic_number, partition)
) WITHOUT ROWID;
