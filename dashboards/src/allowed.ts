// Ages as shares of what their alerts allow: 1 is where the alert fires. What is allowed follows the intervals that the
// nodes export, so that a changed setting needs no changed dashboard.
import { HERE } from './board';

const age = (metric: string, matchers: string, by: string) => `time() - max by (${by}) (${metric}{${HERE},${matchers}})`;
const share = (age: string, allowed: string) => `(${age}) / ${allowed}`;

const progress = (schedule: string) => age('veritail_verify_last_progress_timestamp_seconds', `schedule="${schedule}"`, 'job, schedule');
const interval = (schedule: string) => `max by (job, schedule) (veritail_verify_interval_seconds{${HERE},schedule="${schedule}"})`;
const tick = (schedule: string) => `max by (job, schedule) (veritail_verify_tick_interval_seconds{${HERE},schedule="${schedule}"})`;

/** As `VeritailVerifierStalled`: the two schedules that never rest. */
export const verifier = [
  share(progress('hot'), `clamp_min(5 * ${tick('hot')}, 5 * 60)`),
  share(progress('full'), `clamp_min(5 * ${tick('full')}, 15 * 60)`),
].join(' or ');

/** -1 where `VeritailVerifierAbsent` fires, or will: no node keeps both of them. */
export const noVerifier = (() => {
  const nodes = (metric: string, matchers = '') => `group by (job) (${metric}{${HERE}${matchers}})`;
  const keeps = (schedule: string) => nodes('veritail_verify_last_progress_timestamp_seconds', `,schedule="${schedule}"`);
  return `clamp(count(${nodes('veritail_build_info')} unless on (job) (${keeps('hot')} and on (job) ${keeps('full')})), -1, -1)`;
})();

/** As `VeritailInventoryLate`. */
export const inventory = share(progress('inventory'), `(2 * ${interval('inventory')})`);

/** As `VeritailCanaryStale`. */
export const canary = `max(${share(`time() - max by (job) (veritail_canary_last_success_timestamp_seconds{${HERE}})`, `(3 * max by (job) (${interval('canary')}))`)})`;

const task = (tasks: string, by: string, atLeast: string) => {
  const metric = (name: string) => `veritail_task_${name}_seconds`;
  const allowed = `clamp_min(3 * max by (${by}) (${metric('interval')}{${HERE},task${tasks}}), ${atLeast})`;
  return share(age(metric('last_success_timestamp'), `task${tasks}`, by), allowed);
};

/** As `VeritailScheduledJobStale`, and of the tasks that every node has of its own the worst, as `VeritailContactsStale` and `VeritailGaugesStale`. */
export const tasks = [
  `max by (task) (${task('!~"contacts|gauges|notify"', 'job, task', '2 * 60')})`,
  `max by (task) (${task('="contacts"', 'instance, task', '60')})`,
  `max by (task) (${task('="gauges"', 'instance, task', '2 * 60')})`,
].join(' or ');

/** As `VeritailAlertsBlind`: where one node samples them, somebody knows. */
export const gauges = task('="gauges"', 'job', '2 * 60');

/** The longest time that is told apart from never. */
export const WEEK = 604800;

const ratio = `veritail_redis_fullest_master_ratio{${HERE}}`;
const limit = `veritail_redis_maxmemory_bytes{${HERE}}`;
const lowered =
  `max by (job) (${limit}) < 0.95 * max by (job) (max_over_time(${limit}[30m]))` +
  ` or min by (job) (min_over_time(${limit}[30m])) == 0 and on (job) max by (job) (${limit}) > 0`;
const rate = `(max by (job) (deriv(${ratio}[30m])) unless on (job) (${lowered}))`;
const left = `clamp_max(min((1 - max by (job) (${ratio})) / clamp_min(${rate}, 1e-9)), ${WEEK})`;
/** As `VeritailRedisFilling`, at the rate of the same 30 minutes: of one that is far from full, or whose limit was just set or lowered, nothing is said. */
export const untilRedisIsFull = `0 * max(${ratio} > 0.95) or (${left} and max(${ratio}) > 0.6) or 0 * max(${ratio} > 0) + ${WEEK}`;
