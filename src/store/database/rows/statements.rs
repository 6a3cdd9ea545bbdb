//! Statements that every database takes as they are.

use super::jobs::job_columns;

/// True where no other ending was stored before (`Ending::same_as`).
macro_rules! says_no_other {
    () => {
        "(ending_status IS NULL OR
            (ending_status = $3 AND ending_origin = $4
             AND claim_crc32 IS NOT DISTINCT FROM $7 AND claim_size IS NOT DISTINCT FROM $8))"
    };
}

/// True where this statement ends the job: it has no ending yet, or the same (`Ending::same_as`), and was reopened.
macro_rules! ends {
    () => {
        concat!("(state = 'open' AND ", says_no_other!(), ")")
    };
}

/// The value of a column of the ending: the first one stays.
macro_rules! first {
    ($column:literal, $parameter:literal) => {
        concat!($column, " = CASE WHEN ending_status IS NULL THEN ", $parameter, " ELSE ", $column, " END, ")
    };
}

/// `Database::end` of the job `$1` at `$2`: status `$3`, origin `$4`, reason `$5`, exit code `$6`, claim `$7` and `$8`,
/// whether the runner can send again `$9`, whether it is the runner who speaks `$10`.
///
/// Only an open trace can be without an ending, so the columns of the ending are set together with its state.
pub(in crate::store::database) const END: &str = concat!(
    "UPDATE jobs SET ",
    first!("ending_status", "$3"),
    first!("ending_origin", "$4"),
    first!("failure_reason", "$5"),
    first!("exit_code", "$6"),
    first!("claim_crc32", "$7"),
    first!("claim_size", "$8"),
    first!("ended_at", "$2"),
    "state = CASE WHEN ",
    ends!(),
    " THEN 'closing' ELSE state END,
     changed_at = CASE WHEN ",
    ends!(),
    " THEN $2 ELSE changed_at END,
     trace_reset = coalesce($9, trace_reset),
     last_contact_at = CASE WHEN $10 AND last_contact_at < $2 AND ",
    says_no_other!(),
    " THEN $2 ELSE last_contact_at END
     WHERE id = $1 AND state IN ('open', 'closing')
     RETURNING ",
    job_columns!()
);

/// `Database::reopen` of the job `$1` in epoch `$2` at `$3`.
pub(in crate::store::database) const REOPEN: &str =
    "UPDATE jobs SET state = 'open', changed_at = $3, resend_attempts = resend_attempts + 1
     WHERE id = $1 AND epoch = $2 AND state = 'closing'";

/// The value of a column once the job is canceled: another one only for a job that no runner had.
macro_rules! if_pending {
    ($column:literal, $value:literal) => {
        concat!($column, " = CASE status WHEN 'pending' THEN ", $value, " ELSE ", $column, " END, ")
    };
}

/// `Database::cancel` of the job `$1` at `$2`; both cases at once, for a runner may take the job between two statements.
/// The ending of a pending one is `decide::canceled_before_it_ran`.
pub(in crate::store::database) const CANCEL: &str = concat!(
    "UPDATE jobs SET ",
    if_pending!("state", "'closed'"),
    if_pending!("ending_status", "'canceled'"),
    if_pending!("ending_origin", "'cancel'"),
    if_pending!("ended_at", "$2"),
    if_pending!("closed_at", "$2"),
    if_pending!("size", "0"),
    if_pending!("crc32", "0"),
    if_pending!("verdict", "'unclaimed'"),
    "status = CASE status WHEN 'pending' THEN 'canceled' ELSE 'canceling' END, changed_at = $2
     WHERE id = $1 AND status IN ('pending', 'running') AND state = 'open' AND ending_status IS NULL
     RETURNING ",
    job_columns!()
);

/// `Database::close` of the job `$1` in epoch `$2` at `$3`: verdict `$4`, size `$5`, CRC-32 `$6`.
pub(in crate::store::database) const CLOSE: &str =
    "UPDATE jobs SET status = CASE status WHEN 'canceling' THEN 'canceled' ELSE ending_status END,
                     state = 'closed', closed_at = $3, changed_at = $3, verdict = $4, size = $5, crc32 = $6
     WHERE id = $1 AND epoch = $2 AND state = 'closing'";

/// `Database::mark_installed` of the job `$1` and the epoch `$2`.
pub(in crate::store::database) const MARK_INSTALLED: &str =
    "UPDATE jobs SET installed_epoch = $2 WHERE id = $1 AND epoch = $2 AND state IN ('open', 'closing')";

/// `Facts::fact` of the name `$1`.
pub(in crate::store::database) const FACT: &str = "SELECT value FROM facts WHERE name = $1";

/// `Facts::first_fact` of the name `$1`: the value `$2`. The update changes nothing; it makes the row that is there come
/// back.
pub(in crate::store::database) const FIRST_FACT: &str = "INSERT INTO facts (name, value) VALUES ($1, $2)
     ON CONFLICT (name) DO UPDATE SET value = facts.value RETURNING value";

/// `Facts::set_fact` of the name `$1`: the value `$2`.
pub(in crate::store::database) const SET_FACT: &str = "INSERT INTO facts (name, value) VALUES ($1, $2)
     ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// `Leases::take` of the lease `$1` by the holder `$2` for `$3` milliseconds, even early if `$4`. `$now` is the database's
/// clock, in milliseconds since 1970.
macro_rules! take_turn {
    ($now:literal) => {
        concat!(
            "INSERT INTO leases (name, holder, generation, expires_at, due_at) VALUES ($1, $2, 1, ",
            $now,
            " + $3, 0)
             ON CONFLICT (name) DO UPDATE
             SET holder = excluded.holder, generation = leases.generation + 1, expires_at = excluded.expires_at
             WHERE leases.expires_at <= ",
            $now,
            " AND ($4 OR leases.due_at <= ",
            $now,
            ") RETURNING generation"
        )
    };
}
pub(in crate::store::database) use take_turn;

/// `Leases::renew` of the lease `$1` in the generation `$2` for `$3` milliseconds.
macro_rules! renew_turn {
    ($now:literal) => {
        concat!(
            "UPDATE leases SET expires_at = ",
            $now,
            " + $3 WHERE name = $1 AND generation = $2 AND expires_at > ",
            $now
        )
    };
}
pub(in crate::store::database) use renew_turn;

/// `Leases::finish` of the lease `$1` in the generation `$2`; the next turn is due in `$3` milliseconds.
macro_rules! finish_turn {
    ($now:literal) => {
        concat!("UPDATE leases SET expires_at = 0, due_at = ", $now, " + $3 WHERE name = $1 AND generation = $2")
    };
}
pub(in crate::store::database) use finish_turn;
