// The stores that Veritail depends on, its background tasks, and the process itself.
import * as allowed from './allowed';
import { HERE, board } from './board';
import { above, below, page, ticket } from './limits';
import { GREEN, ORANGE, RED, table, timeline, timeseries } from './panels';

const requests = 'veritail_dependency_requests_total';
const time = 'veritail_dependency_request_duration_seconds_bucket';

export const dependencies = board({
  uid: 'veritail-dependencies',
  title: 'Dependencies and runtime',
  description: 'Live store, database and object store as Veritail meets them; its background tasks; the process.',
  rows: [
    {
      title: 'Stores',
      panels: [
        timeline({
          title: 'Stores',
          shows: 'Whether each store answered when it was last asked, as the node that is worst off sees it.',
          normal: 'Up.',
          otherwise: 'Runners get 503 and come again, for as long as their patience lasts. Bring the store back; nothing else is to be done.',
          size: [12, 6],
          unit: 'none',
          queries: [{ expr: `min by (dependency) (veritail_dependency_up{${HERE}})`, legend: '{{dependency}}' }],
          states: { 0: { text: 'Down', color: RED }, 1: { text: 'Up', color: GREEN } },
          limits: below(page('VeritailDependencyDown', 1)),
        }),
        timeline({
          title: 'Nodes',
          shows: 'Whether Prometheus reaches each node.',
          normal: 'Up, but for the seconds of a restart.',
          otherwise: 'The others go on. Start it again; its log says why it ended.',
          size: [12, 6],
          unit: 'none',
          queries: [{ expr: `up{${HERE}}`, legend: '{{instance}}' }],
          states: { 0: { text: 'Down', color: RED }, 1: { text: 'Up', color: GREEN } },
          limits: below(ticket('VeritailTargetDown', 1)),
        }),
        timeseries({
          title: 'Requests',
          shows: 'Requests to each store, a second.',
          normal: 'Follows the traffic: about one to the live store for each append, a few to the others for each chunk.',
          otherwise: 'Many without traffic: a sweep or the verifier; see *Tasks*, and *Integrity*.',
          size: [8, 8],
          unit: 'reqps',
          queries: [{ expr: `sum by (dependency) (rate(${requests}{${HERE}}[$__rate_interval]))`, legend: '{{dependency}}' }],
        }),
        timeseries({
          title: 'Requests that failed',
          shows: 'Share of the requests to each store that failed or were not answered in time.',
          normal: 'Zero.',
          otherwise: 'The node\'s log says what the store said. All nodes: the store. One node: its network.',
          size: [8, 8],
          unit: 'percentunit',
          queries: [
            {
              expr: `sum by (dependency) (rate(${requests}{${HERE},result!="ok"}[$__rate_interval])) / (sum by (dependency) (rate(${requests}{${HERE}}[$__rate_interval])) > 0)`,
              legend: '{{dependency}}',
            },
          ],
          limits: above(ticket('VeritailDependencyErrors', 0.02)),
        }),
        timeseries({
          title: 'Request time by store: p99',
          shows: 'Time of requests to each store: 99 of 100 are faster.',
          normal: 'Live store and database: milliseconds. Object store: some hundred.',
          otherwise: 'By operation: the next panel. The store\'s own monitoring has the cause.',
          size: [8, 8],
          unit: 's',
          queries: [
            { expr: `histogram_quantile(0.99, sum by (le, dependency) (rate(${time}{${HERE}}[$__rate_interval]))) >= 0`, legend: '{{dependency}}' },
          ],
        }),
        timeseries({
          title: 'Request time by operation: p99',
          shows: 'The same, by what was asked.',
          normal: 'Level.',
          otherwise: '`append` is what runners wait for; `put` and `get` what the proof waits for; `scan` and `list` are sweeps and may be slow.',
          size: [12, 8],
          unit: 's',
          queries: [
            { expr: `histogram_quantile(0.99, sum by (le, dependency, operation) (rate(${time}{${HERE}}[$__rate_interval]))) >= 0`, legend: '{{dependency}}: {{operation}}' },
          ],
        }),
        timeseries({
          title: 'Connections to the database',
          shows: 'Connections of the pools of all nodes, and how many there may be.',
          normal: 'Some in use, far from the limit.',
          otherwise: 'All in use: statements are slow (the panel on the left), or the pool is too small.',
          size: [6, 8],
          unit: 'none',
          decimals: 0,
          queries: [
            { expr: `sum by (state) (veritail_db_pool_connections{${HERE}})`, legend: '{{state}}' },
            { expr: `sum(veritail_db_pool_max_connections{${HERE}})`, legend: 'limit' },
          ],
          colours: { limit: RED },
          dashed: ['limit'],
        }),
        timeseries({
          title: 'Waiting for a connection: p99',
          shows: 'Time until a connection to the database was free: 99 of 100 waited less.',
          normal: 'Below a millisecond or two.',
          otherwise: 'The pool is used up: see *Connections to the database*.',
          size: [6, 8],
          unit: 's',
          none: 'No pool',
          queries: [
            { expr: `histogram_quantile(0.99, sum by (le) (rate(veritail_db_pool_acquire_duration_seconds_bucket{${HERE}}[$__rate_interval]))) >= 0`, legend: 'p99' },
          ],
        }),
      ],
    },
    {
      title: 'Tasks',
      panels: [
        table({
          title: 'Background tasks',
          shows: 'Time since each background task last ended well, its interval, and how much of what its alert allows has passed. The sweeps take turns: of all nodes the newest counts; of `contacts` and `gauges` the worst.',
          normal: 'The share is below 100 %.',
          otherwise: 'The node\'s log says what fails. While `contacts` stands still, losses could go unseen.',
          size: [10, 8],
          queries: [
            `time() - max by (task) (veritail_task_last_success_timestamp_seconds{${HERE}})`,
            `max by (task) (veritail_task_interval_seconds{${HERE}})`,
            allowed.tasks,
          ],
          columns: [
            { field: 'task', head: 'Task' },
            { field: 'Value #A', head: 'Last success', unit: 's' },
            { field: 'Value #B', head: 'Interval', unit: 's' },
            {
              field: 'Value #C',
              head: 'Of what is allowed',
              unit: 'percentunit',
              decimals: 0,
              limits: above(page('VeritailContactsStale', 1), ticket('VeritailScheduledJobStale', 1), ticket('VeritailGaugesStale', 1)),
            },
          ],
        }),
        timeseries({
          title: 'Task time: p99',
          shows: 'Time of one run of each task: 99 of 100 are faster.',
          normal: 'Well below its interval.',
          otherwise: '`sweep` takes long: much is unfinished. `gauges`: a store does not answer.',
          size: [7, 8],
          unit: 's',
          queries: [
            { expr: `histogram_quantile(0.99, sum by (le, task) (rate(veritail_task_duration_seconds_bucket{${HERE}}[$__rate_interval]))) >= 0`, legend: '{{task}}' },
          ],
        }),
        timeseries({
          title: 'Tasks that failed',
          shows: 'Runs of tasks that failed, a second.',
          normal: 'Zero.',
          otherwise: 'The node\'s log says why; most often a store is away.',
          size: [7, 8],
          unit: 'ops',
          queries: [{ expr: `sum by (task) (rate(veritail_task_duration_seconds_count{${HERE},result="error"}[$__rate_interval]))`, legend: '{{task}}' }],
        }),
      ],
    },
    {
      title: 'Process',
      panels: [
        timeseries({
          title: 'CPU',
          shows: 'Processors that each node keeps busy.',
          normal: 'Below what it was given.',
          otherwise: 'At its limit all else becomes slow: more nodes, or more CPU.',
          size: [8, 8],
          unit: 'none',
          queries: [{ expr: `rate(process_cpu_seconds_total{${HERE}}[$__rate_interval])`, legend: '{{instance}}' }],
        }),
        timeseries({
          title: 'Resident memory',
          shows: 'Memory of each node.',
          normal: 'Level after the first minutes.',
          otherwise: 'It grows for hours without more traffic: a defect; keep the numbers before the restart.',
          size: [8, 8],
          unit: 'bytes',
          queries: [{ expr: `process_resident_memory_bytes{${HERE}}`, legend: '{{instance}}' }],
        }),
        timeseries({
          title: 'Open files',
          shows: 'Open files and sockets, as a share of the limit.',
          normal: 'Far below 100 %.',
          otherwise: 'At 100 % no connection is taken any more: raise the limit (`LimitNOFILE`).',
          size: [8, 8],
          unit: 'percentunit',
          queries: [{ expr: `process_open_fds{${HERE}} / process_max_fds{${HERE}}`, legend: '{{instance}}' }],
          limits: above(ticket('VeritailFileDescriptorsHigh', 0.8)),
        }),
        timeseries({
          title: 'Tokio: busy share',
          shows: 'Share of the time in which the workers of the runtime were busy.',
          normal: 'Below 80 %.',
          otherwise: 'Near 100 %: too little CPU, or something blocks a worker.',
          size: [8, 8],
          unit: 'percentunit',
          max: 1,
          queries: [{ expr: `veritail_tokio_busy_ratio{${HERE}}`, legend: '{{instance}}' }],
        }),
        timeseries({
          title: 'Tokio: tasks',
          shows: 'Tasks that are alive, those in the global queue, the workers, and the threads of the processes.',
          normal: 'Tasks follow the connections; the queue is near zero.',
          otherwise: 'The queue grows: the workers do not keep up. Tasks grow without connections: a leak.',
          size: [8, 8],
          unit: 'none',
          decimals: 0,
          queries: [
            { expr: `sum(veritail_tokio_alive_tasks{${HERE}})`, legend: 'alive' },
            { expr: `sum(veritail_tokio_global_queue_tasks{${HERE}})`, legend: 'queued' },
            { expr: `sum(veritail_tokio_workers{${HERE}})`, legend: 'workers' },
            { expr: `sum(process_threads{${HERE}})`, legend: 'threads' },
          ],
        }),
        timeseries({
          title: 'Panics, errors, warnings',
          shows: 'What is in the logs and wants a person, a second.',
          normal: 'Nothing; some warnings while a store is away.',
          otherwise: 'A panic is a defect and pages: keep the log. Errors name the job.',
          size: [8, 8],
          unit: 'ops',
          queries: [
            { expr: `sum(rate(veritail_panics_total{${HERE}}[$__rate_interval]))`, legend: 'panic' },
            { expr: `sum by (level) (rate(veritail_log_messages_total{${HERE}}[$__rate_interval]))`, legend: '{{level}}' },
          ],
          colours: { panic: RED, error: ORANGE, warn: 'yellow' },
        }),
        table({
          title: 'Versions',
          shows: 'Version, revision and age of each node.',
          normal: 'One version, but for the minutes of an upgrade.',
          otherwise: 'Several for long: an upgrade stopped half-way. Young nodes that nobody restarted: they crash.',
          size: [24, 6],
          queries: [
            `(time() - process_start_time_seconds{${HERE}}) * on (job, instance) group_left (version, revision) veritail_build_info{${HERE}}`,
          ],
          columns: [
            { field: 'job', head: 'Job' },
            { field: 'instance', head: 'Instance' },
            { field: 'version', head: 'Version' },
            { field: 'revision', head: 'Revision' },
            { field: 'Value', head: 'Running for', unit: 's' },
          ],
          sortBy: { head: 'Instance', descending: false },
        }),
      ],
    },
  ],
});
