CREATE TABLE contacts (
    device_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    phone TEXT NOT NULL, -- E.164 or blank
    locale TEXT NOT NULL
);
CREATE TABLE staff (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    phone TEXT NOT NULL,
    locale TEXT NOT NULL
);
