-- The bytes of chunks that the object store did not take, under keys as in the object store, until it takes them.
CREATE TABLE chunk_bytes (
    key        TEXT COLLATE "C" PRIMARY KEY,
    bytes      BYTEA NOT NULL,
    written_at BIGINT NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000)::bigint
);

-- They are compressed, or do not shrink.
ALTER TABLE chunk_bytes ALTER COLUMN bytes SET STORAGE EXTERNAL;

-- What lies in the database and waits for the object store, oldest first.
CREATE INDEX trace_chunks_spilled ON trace_chunks (persisted_at, job_id, chunk_index) INCLUDE (size)
    WHERE data_store = 'database';
-- Which bytes in the database are named by a row.
CREATE INDEX trace_chunks_in_database ON trace_chunks (object_key) WHERE data_store = 'database';
