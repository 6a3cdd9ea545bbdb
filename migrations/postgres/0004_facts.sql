-- The few things that an installation remembers about itself, such as the id of its object store.
CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
