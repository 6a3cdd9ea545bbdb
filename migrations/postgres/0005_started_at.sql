-- When a runner took the job; a job that nobody has to take runs from the moment it is made. NULL = it never ran.
ALTER TABLE jobs ADD COLUMN started_at BIGINT;
