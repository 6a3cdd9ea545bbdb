-- Damage that is done on purpose. It is announced here before it is done, so that what is found of it is told from damage
-- that nobody did. Numbers are never used again: mismatches carry them.
CREATE TABLE drills (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id           INTEGER NOT NULL,
    chunk_index      INTEGER NOT NULL CHECK (chunk_index BETWEEN 0 AND 4294967295),
    kind             TEXT NOT NULL,
    store            TEXT NOT NULL,
    announced_by     TEXT NOT NULL,
    announced_at     INTEGER NOT NULL,
    damaged_at       INTEGER,
    must_be_found_by INTEGER NOT NULL CHECK (must_be_found_by >= announced_at),
    found_at         INTEGER,
    found_kind       TEXT,
    found_store      TEXT,
    found_detector   TEXT,
    result           TEXT CHECK (result IN ('found', 'late', 'missed', 'wrong_label')),
    ended_at         INTEGER,

    CHECK ((found_at IS NULL) = (found_kind IS NULL) AND (found_at IS NULL) = (found_store IS NULL)
       AND (found_at IS NULL) = (found_detector IS NULL)),
    -- One that ended without a result was called off: nothing was damaged.
    CHECK (result IS NULL OR ended_at IS NOT NULL)
) STRICT;

CREATE INDEX drills_chunk ON drills (job_id, chunk_index);
CREATE INDEX drills_under_way ON drills (id) WHERE ended_at IS NULL;

-- The announced damage that a mismatch is.
ALTER TABLE mismatches ADD COLUMN drill_id INTEGER;

CREATE INDEX mismatches_drill ON mismatches (drill_id, id) WHERE drill_id IS NOT NULL;
