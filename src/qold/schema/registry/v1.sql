CREATE TABLE Devices (
    id INTEGER PRIMARY KEY,
    auth TEXT NOT NULL,
    state BOOLEAN NOT NULL,
    config TEXT NOT NULL
);
CREATE TABLE Gateways (
    id INTEGER PRIMARY KEY,
    auth TEXT NOT NULL,
    state BOOLEAN NOT NULL,
    config TEXT NOT NULL
);
CREATE TABLE Resource_counters (
    resource TEXT PRIMARY KEY,
    next_id INTEGER NOT NULL
);
