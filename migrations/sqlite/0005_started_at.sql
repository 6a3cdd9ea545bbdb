-- When a runner took the job; a job that nobody has to take runs from the moment it is made. NULL = it never ran.
ALTER TABLE jobs ADD COLUMN started_at INTEGER;

-- Of jobs that were there before only this is known: those that waited, or were canceled while they did, never ran.
UPDATE jobs SET started_at = created_at
WHERE status <> 'pending'
  AND NOT (coalesce(ending_origin, '') = 'cancel' AND installed_epoch IS NULL AND acked_length = 0);
