-- The bytes of chunks that the object store did not take, under keys as in the object store, until it takes them.
CREATE TABLE chunk_bytes (
    key        TEXT PRIMARY KEY,
    bytes      BLOB NOT NULL,
    written_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER))
) STRICT;

-- A copy in the database has a key, a size and a checksum too. SQLite changes no CHECK: the table is made anew.
CREATE TABLE trace_chunks_new (
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
    CHECK ((object_key IS NULL) = (data_store IS NULL)),
    CHECK ((asked_in IS NOT NULL) = (state = 'wanted')),
    CHECK (CASE state
        WHEN 'open'      THEN size IS NULL AND data_store IS NULL
        WHEN 'sealed'    THEN size IS NOT NULL AND data_store IS NULL AND sealed_at IS NOT NULL
        WHEN 'persisted' THEN size IS NOT NULL AND data_store IS NOT NULL
        ELSE size IS NOT NULL OR data_store IS NULL
    END)
) STRICT, WITHOUT ROWID;

INSERT INTO trace_chunks_new
SELECT job_id, chunk_index, epoch, version, state, size, crc32, sha256, data_store, object_key, stored_size,
       stored_sha256, asked_in, opened_at, sealed_at, persisted_at
FROM trace_chunks;
DROP TABLE trace_chunks;
ALTER TABLE trace_chunks_new RENAME TO trace_chunks;

-- What waits for migration, oldest first; with sizes, so that the backlog is counted without touching the rows.
CREATE INDEX trace_chunks_waiting ON trace_chunks (sealed_at, job_id, chunk_index, size) WHERE state = 'sealed';
-- What lies in the database and waits for the object store, oldest first.
CREATE INDEX trace_chunks_spilled ON trace_chunks (persisted_at, job_id, chunk_index, size)
    WHERE data_store = 'database';
-- Which bytes in the database are named by a row.
CREATE INDEX trace_chunks_in_database ON trace_chunks (object_key) WHERE data_store = 'database';
