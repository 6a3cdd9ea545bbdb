-- What must run on one node at a time: who has the turn, until when, and when the next one comes. By this database's clock.
CREATE TABLE leases (
    name       TEXT PRIMARY KEY,
    holder     TEXT NOT NULL,
    generation INTEGER NOT NULL CHECK (generation >= 1),
    expires_at INTEGER NOT NULL,
    due_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
