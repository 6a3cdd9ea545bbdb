-- What the verifier remembers: its runs, and how far its walks through all chunks are. Tallies are kept as JSON.

-- Numbers of runs are never used again: mismatches carry them.
CREATE TABLE verification_runs (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    schedule      TEXT NOT NULL,
    scope         TEXT NOT NULL,
    node          TEXT NOT NULL,
    expected      INTEGER CHECK (expected >= 0),
    state         TEXT NOT NULL,
    tally         TEXT NOT NULL CHECK (json_valid(tally)),
    started_at    INTEGER NOT NULL,
    heard_at      INTEGER NOT NULL,
    ended_at      INTEGER,
    message       TEXT,
    stop_asked_by TEXT,

    CHECK ((state = 'running') = (ended_at IS NULL))
) STRICT;

CREATE INDEX verification_runs_schedule ON verification_runs (schedule, id);
CREATE INDEX verification_runs_state ON verification_runs (state, id);
CREATE INDEX verification_runs_ended ON verification_runs (ended_at, id) WHERE ended_at IS NOT NULL;

-- One walk a row. The present cycle goes over the jobs from from_job on, below to_job; the previous one is there as a whole
-- or not at all.
CREATE TABLE verification_cursors (
    shard               TEXT PRIMARY KEY,
    version             INTEGER NOT NULL CHECK (version >= 1),
    from_job            INTEGER NOT NULL,
    to_job              INTEGER NOT NULL,
    at_job              INTEGER NOT NULL,
    at_chunk            INTEGER NOT NULL CHECK (at_chunk BETWEEN 0 AND 4294967295),
    started_at          INTEGER NOT NULL,
    tally               TEXT NOT NULL CHECK (json_valid(tally)),
    run_id              INTEGER NOT NULL,
    previous_started_at INTEGER,
    previous_ended_at   INTEGER,
    previous_chunks     INTEGER CHECK (previous_chunks >= 0),

    CHECK ((previous_started_at IS NULL) = (previous_ended_at IS NULL)
       AND (previous_started_at IS NULL) = (previous_chunks IS NULL))
) STRICT, WITHOUT ROWID;

-- What was persisted lately, in the order in which that was.
CREATE INDEX trace_chunks_persisted ON trace_chunks (persisted_at, job_id, chunk_index) WHERE state = 'persisted';
-- Which row names the bytes under a key: beside a listing of a store, in the same order.
CREATE INDEX trace_chunks_named ON trace_chunks (data_store, object_key) WHERE data_store IS NOT NULL;
-- From which job on they are younger than a moment.
CREATE INDEX jobs_created ON jobs (created_at, id);
-- Which mismatches a run found: it stays as long as they do.
CREATE INDEX mismatches_run ON mismatches (run_id) WHERE run_id IS NOT NULL;
