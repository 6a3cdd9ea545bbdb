-- What must run on one node at a time: who has the turn, until when, and when the next one comes. By the server's clock.
CREATE TABLE leases (
    name       TEXT PRIMARY KEY,
    holder     TEXT NOT NULL,
    generation BIGINT NOT NULL CHECK (generation >= 1),
    expires_at BIGINT NOT NULL,
    due_at     BIGINT NOT NULL
);
