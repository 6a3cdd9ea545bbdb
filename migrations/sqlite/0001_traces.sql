-- Jobs, their traces chunk by chunk, and what was found to be wrong with them.
-- Moments are milliseconds since 1970; checksums are kept as numbers (CRC-32) and 32 bytes (SHA-256).

CREATE TABLE projects (
    id   INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE
) STRICT;

-- Numbers of jobs are never used again, not even after the newest job is removed: live keys and objects carry them.
CREATE TABLE jobs (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id       INTEGER NOT NULL REFERENCES projects (id),
    name             TEXT NOT NULL,
    token_sha256     BLOB NOT NULL CHECK (length(token_sha256) = 32),
    payload          TEXT CHECK (payload IS NULL OR json_valid(payload)),
    status           TEXT NOT NULL CHECK (status IN ('pending', 'running', 'canceling', 'success', 'failed', 'canceled')),
    state            TEXT NOT NULL CHECK (state IN ('open', 'closing', 'closed', 'archived', 'erased')),
    epoch            INTEGER NOT NULL CHECK (epoch >= 1),
    installed_epoch  INTEGER CHECK (installed_epoch BETWEEN 1 AND epoch),
    chunk_size       INTEGER NOT NULL CHECK (chunk_size >= 1),
    trace_limit      INTEGER NOT NULL CHECK (trace_limit >= 0),
    acked_length     INTEGER NOT NULL DEFAULT 0 CHECK (acked_length >= 0),
    ending_status    TEXT CHECK (ending_status IN ('success', 'failed', 'canceled')),
    ending_origin    TEXT,
    failure_reason   TEXT,
    exit_code        INTEGER,
    claim_crc32      INTEGER,
    claim_size       INTEGER CHECK (claim_size IS NULL OR claim_crc32 IS NOT NULL),
    ended_at         INTEGER,
    resend_attempts  INTEGER NOT NULL DEFAULT 0,
    asked_everything INTEGER NOT NULL DEFAULT 0 CHECK (asked_everything IN (0, 1)),
    trace_reset      INTEGER CHECK (trace_reset IN (0, 1)),
    created_at       INTEGER NOT NULL,
    last_contact_at  INTEGER NOT NULL,
    changed_at       INTEGER NOT NULL,
    closed_at        INTEGER,
    size             INTEGER CHECK (size >= 0),
    crc32            INTEGER,
    erased_at        INTEGER,
    erased_by        TEXT,
    verdict          TEXT NOT NULL DEFAULT 'pending'
        CHECK (verdict IN ('verified', 'pending', 'unclaimed', 'runner_disagrees', 'corrupt', 'erased')),

    -- An ending is there as a whole or not at all, and nothing closes without one.
    CHECK ((ending_status IS NULL) = (ending_origin IS NULL) AND (ending_status IS NULL) = (ended_at IS NULL)),
    CHECK (ending_status IS NOT NULL OR state IN ('open', 'erased')),
    CHECK (closed_at IS NOT NULL OR state NOT IN ('closed', 'archived')),
    CHECK ((state = 'erased') = (erased_at IS NOT NULL) AND (erased_at IS NULL) = (erased_by IS NULL))
) STRICT;

CREATE INDEX jobs_unfinished ON jobs (id) WHERE state IN ('open', 'closing');
CREATE INDEX jobs_changed ON jobs (changed_at);

CREATE TABLE trace_chunks (
    job_id        INTEGER NOT NULL REFERENCES jobs (id),
    chunk_index   INTEGER NOT NULL CHECK (chunk_index BETWEEN 0 AND 4294967295),
    epoch         INTEGER NOT NULL CHECK (epoch >= 1),
    version       INTEGER NOT NULL CHECK (version >= 1),
    state         TEXT NOT NULL CHECK (state IN ('open', 'sealed', 'persisted', 'wanted')),
    -- The record.
    size          INTEGER CHECK (size >= 0),
    crc32         INTEGER,
    sha256        BLOB CHECK (length(sha256) = 32),
    -- The persistent copy: of a persisted chunk, or the one that is kept while its bytes are wanted again.
    data_store    TEXT CHECK (data_store IN ('database', 'object_store')),
    object_key    TEXT,
    stored_size   INTEGER,
    stored_sha256 BLOB CHECK (length(stored_sha256) = 32),
    -- Of a wanted chunk: the epoch in which it was asked for.
    asked_in      INTEGER,
    opened_at     INTEGER NOT NULL,
    sealed_at     INTEGER,
    persisted_at  INTEGER,
    PRIMARY KEY (job_id, chunk_index),

    CHECK ((size IS NULL) = (crc32 IS NULL) AND (size IS NULL) = (sha256 IS NULL)),
    CHECK ((object_key IS NULL) = (stored_size IS NULL) AND (object_key IS NULL) = (stored_sha256 IS NULL)),
    CHECK ((object_key IS NOT NULL) = (data_store IS 'object_store')),
    CHECK ((asked_in IS NOT NULL) = (state = 'wanted')),
    CHECK (CASE state
        WHEN 'open'      THEN size IS NULL AND data_store IS NULL
        WHEN 'sealed'    THEN size IS NOT NULL AND data_store IS NULL AND sealed_at IS NOT NULL
        WHEN 'persisted' THEN size IS NOT NULL AND data_store IS NOT NULL
        ELSE size IS NOT NULL OR data_store IS NULL
    END)
) STRICT, WITHOUT ROWID;

-- What waits for migration, oldest first; with sizes, so that the backlog is counted without touching the rows.
CREATE INDEX trace_chunks_waiting ON trace_chunks (sealed_at, job_id, chunk_index, size) WHERE state = 'sealed';

-- The history stays when a job is removed, and an orphan may belong to no job at all: no foreign key. No row is ever
-- removed, so numbers are not used again without AUTOINCREMENT, which would burn one whenever a mismatch is seen again.
CREATE TABLE mismatches (
    id          INTEGER PRIMARY KEY,
    job_id      INTEGER NOT NULL,
    chunk_index INTEGER,
    epoch       INTEGER NOT NULL,
    kind        TEXT NOT NULL,
    store       TEXT NOT NULL,
    detector    TEXT NOT NULL,
    expected    TEXT NOT NULL CHECK (json_valid(expected)),
    found       TEXT NOT NULL CHECK (json_valid(found)),
    first_seen  INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    times_seen  INTEGER NOT NULL DEFAULT 1,
    resolution  TEXT CHECK (resolution IN ('repaired', 'resent', 'acknowledged', 'erased')),
    resolved_at INTEGER,

    CHECK ((resolution IS NULL) = (resolved_at IS NULL))
) STRICT;

-- A mismatch is counted once: only whoever inserts it counts.
CREATE UNIQUE INDEX mismatches_open ON mismatches (job_id, coalesce(chunk_index, -1), epoch, store, kind)
    WHERE resolution IS NULL;
CREATE INDEX mismatches_job ON mismatches (job_id, id);

-- The objects of an erased trace are to go, by prefix. A deletion is a committed row, so that a crash loses none.
CREATE TABLE deletions (
    id         INTEGER PRIMARY KEY,
    job_id     INTEGER NOT NULL REFERENCES jobs (id),
    not_before INTEGER NOT NULL
) STRICT;

CREATE INDEX deletions_due ON deletions (not_before, id);
