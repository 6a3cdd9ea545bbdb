-- All that the audit trail says of a mismatch. Who resolved it and why, in resolved_by and comment, is of every resolution
-- from now on. What was written before stays as it is, and nobody is told of it.
ALTER TABLE mismatches ADD COLUMN run_id INTEGER;
ALTER TABLE mismatches ADD COLUMN node TEXT NOT NULL DEFAULT '';
-- Where in the chunk the first byte is that differs, where both sides' bytes were known.
ALTER TABLE mismatches ADD COLUMN first_difference INTEGER;
-- When somebody outside is to be told of it. NULL = nobody is, or they have been.
ALTER TABLE mismatches ADD COLUMN notify_at INTEGER;

CREATE INDEX mismatches_to_notify ON mismatches (notify_at, id) WHERE notify_at IS NOT NULL;
