-- What readers list, and who took note of a mismatch.

-- A project's jobs, newest first; with the status, so that jobs of one status are found without touching the others.
CREATE INDEX jobs_of_project ON jobs (project_id, id) INCLUDE (status);

-- Of a mismatch that a person took note of: who, and in their words why.
ALTER TABLE mismatches ADD COLUMN resolved_by TEXT;
ALTER TABLE mismatches ADD COLUMN comment TEXT;
