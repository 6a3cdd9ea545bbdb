-- API tokens, runners, and which runner a job was given to. Of secrets only the SHA-256 is kept.
-- A reach is a JSON array of projects' numbers; NULL = all projects.

CREATE TABLE tokens (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT NOT NULL,
    token_sha256 BLOB NOT NULL UNIQUE CHECK (length(token_sha256) = 32),
    scopes       TEXT NOT NULL CHECK (json_type(scopes) = 'array'),
    projects     TEXT CHECK (projects IS NULL OR json_type(projects) = 'array'),
    expires_at   INTEGER,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    revoked_at   INTEGER,
    rotated_from INTEGER REFERENCES tokens (id)
) STRICT;

CREATE TABLE runners (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    description     TEXT NOT NULL,
    token_sha256    BLOB NOT NULL UNIQUE CHECK (length(token_sha256) = 32),
    projects        TEXT CHECK (projects IS NULL OR json_type(projects) = 'array'),
    created_at      INTEGER NOT NULL,
    last_contact_at INTEGER,
    revoked_at      INTEGER
) STRICT;

ALTER TABLE jobs ADD COLUMN runner_id INTEGER REFERENCES runners (id);

-- The queue, oldest first.
CREATE INDEX jobs_pending ON jobs (id, project_id) WHERE status = 'pending';
