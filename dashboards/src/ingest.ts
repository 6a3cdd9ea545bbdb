// How runners and readers are served: latencies, answers, what comes in.
import { HERE, board } from './board';
import { ORANGE, RED, heatmap, timeseries } from './panels';

interface Named {
  route: 'append' | 'finalize' | 'read';
  row: string;
  what: string;
  normalLatency: string;
  slow: string;
  normalAnswers: string;
  answers: string;
}

const quantiles = (metric: string, matchers: string, of: number[]) =>
  of.map((quantile) => ({
    expr: `histogram_quantile(${quantile}, sum by (le) (rate(${metric}_bucket{${[HERE, matchers].filter(Boolean).join(',')}}[$__rate_interval])))`,
    legend: `p${quantile * 100}`,
  }));

/** The three panels that every route of runners and readers has. */
function requests({ route, row, what, normalLatency, slow, normalAnswers, answers }: Named) {
  const duration = 'veritail_http_request_duration_seconds';
  return {
    title: row,
    panels: [
      timeseries({
        title: `${what}: p50, p95, p99`,
        shows: 'From a request\'s head to the end of its answer\'s head: half, 95 and 99 of 100 requests are faster.',
        normal: normalLatency,
        otherwise: slow,
        size: [8, 8],
        unit: 's',
        queries: quantiles(duration, `route="${route}"`, [0.5, 0.95, 0.99]),
      }),
      heatmap({
        title: `${what}: latency`,
        shows: 'The same, as a distribution: how many requests a second took how long.',
        normal: 'One dark band at the bottom.',
        otherwise: 'A second band above says that some requests wait for something that the others do not: one node, one store, one kind of job.',
        size: [8, 8],
        unit: 's',
        buckets: `sum by (le) (rate(${duration}_bucket{${HERE},route="${route}"}[$__rate_interval]))`,
      }),
      timeseries({
        title: `${what}: answers`,
        shows: 'Answers a second, by status.',
        normal: normalAnswers,
        otherwise: answers,
        size: [8, 8],
        unit: 'reqps',
        stacked: true,
        queries: [{ expr: `sum by (status) (rate(veritail_http_requests_total{${HERE},route="${route}"}[$__rate_interval])) > 0`, legend: '{{status}}' }],
        colours: { 500: RED, 503: RED, cut: RED, damaged: RED, 412: ORANGE, 416: ORANGE, 403: 'purple', 401: 'purple' },
      }),
    ],
  };
}

export const ingest = board({
  uid: 'veritail-ingest',
  title: 'Ingest',
  description: 'How runners and readers are served: latencies, answers, refusals, and what comes in.',
  rows: [
    requests({
      route: 'append',
      row: 'PATCH: append',
      what: 'Append',
      normalLatency: 'p99 in tens of milliseconds, level.',
      slow: 'The live store is slow (*Dependencies and runtime*, its `append`), or the node has too little CPU.',
      normalAnswers: '202, with some 416 when a runner comes to another node or sends again.',
      answers: '503: a store is away or full. 403: tokens. Many 416: the live store loses bytes (*Storage and migration*, losses).',
    }),
    {
      title: 'Refusals and saturation',
      panels: [
        timeseries({
          title: 'Appends refused, by reason',
          shows: 'Appends that were not taken, a second, by cause.',
          normal: 'Some `range` and `closing`; the rest zero.',
          otherwise: '`unavailable`: a store is away or full. `size_limit`: a job says too much. `forbidden`: tokens. `broken_off`: the network. `rate_limit`: one token asks too much.',
          size: [8, 8],
          unit: 'reqps',
          queries: [{ expr: `sum by (reason) (rate(veritail_append_rejected_total{${HERE}}[$__rate_interval]))`, legend: '{{reason}}' }],
          colours: { unavailable: RED },
        }),
        timeseries({
          title: 'Requests in flight',
          shows: 'Requests that are being answered at this moment, by what they are for.',
          normal: 'A few for each node. Readers that follow a log stay in flight.',
          otherwise: 'Appends that pile up wait for the live store; final PUTs for the object store.',
          size: [8, 8],
          unit: 'none',
          decimals: 0,
          queries: [{ expr: `sum by (route) (veritail_http_requests_in_flight{${HERE}})`, legend: '{{route}}' }],
        }),
        timeseries({
          title: 'Connections',
          shows: 'Connections that are open, by node.',
          normal: 'About as many as there are runners and readers, spread evenly by the balancer.',
          otherwise: 'One node has all of them: look at the balancer. Near the limit of open files: *Dependencies and runtime*.',
          size: [8, 8],
          unit: 'none',
          decimals: 0,
          queries: [{ expr: `sum by (instance) (veritail_http_connections{${HERE}})`, legend: '{{instance}}' }],
        }),
      ],
    },
    {
      title: 'Where the time goes',
      panels: [
        timeseries({
          title: 'Stages of a log\'s way: p99',
          shows: 'Time of each stage of a log\'s way through a node, from a slice of a patch to a chunk for a reader: 99 of 100 are faster.',
          normal: 'Level. `append` is the live store alone; `put` and `read_back` are the object store; `evaluate` waits for both.',
          otherwise: 'The stage that grows names what runners or readers wait for, and so the store to look at: *Dependencies and runtime*.',
          size: [12, 8],
          unit: 's',
          queries: [{ expr: `histogram_quantile(0.99, sum by (le, stage) (rate(veritail_stage_duration_seconds_bucket{${HERE}}[$__rate_interval]))) >= 0`, legend: '{{stage}}' }],
        }),
        timeseries({
          title: 'Stages of a log\'s way: busy',
          shows: 'How many of each stage are under way at the same time, on average.',
          normal: 'Follows the traffic.',
          otherwise: 'A stage with many at once while the traffic is level: it has become slow.',
          size: [12, 8],
          unit: 'none',
          queries: [{ expr: `sum by (stage) (rate(veritail_stage_duration_seconds_sum{${HERE}}[$__rate_interval]))`, legend: '{{stage}}' }],
        }),
      ],
    },
    requests({
      route: 'finalize',
      row: 'PUT: finalize',
      what: 'Final PUT',
      normalLatency: 'Up to 2 s: it waits so long for the proof before it asks the runner to come again.',
      slow: 'All at 2 s: nothing is proven in time, the object store is slow (*Storage and migration*).',
      normalAnswers: '200, and 202 where the proof takes longer than one request.',
      answers: '412: bytes are asked for again, *Storage and migration* says why. Only 202: the object store takes nothing. 503: the database is away.',
    }),
    requests({
      route: 'read',
      row: 'GET: read',
      what: 'Read',
      normalLatency: 'Some hundred milliseconds until the answer begins.',
      slow: 'Finished logs come from the object store: see its `get` on *Dependencies and runtime*.',
      normalAnswers: '200, 206 and 304.',
      answers: '503, or cut in the middle: what is needed is in a store that is away. Damaged: its bytes are wrong or gone, see *Integrity*. Many 404 or 401: somebody asks with old links or tokens.',
    }),
    {
      title: 'What comes in',
      panels: [
        timeseries({
          title: 'Body sizes: p50, p99',
          shows: 'Sizes of the bodies that runners send.',
          normal: 'Some KiB: a runner sends every few seconds what its job said.',
          otherwise: 'Very small bodies cost as many statements as great ones: see the runners\' interval.',
          size: [8, 8],
          unit: 'bytes',
          queries: quantiles('veritail_http_request_size_bytes', 'route="append"', [0.5, 0.99]),
        }),
        heatmap({
          title: 'Chunk sizes',
          shows: 'Sizes of chunks as they come to rest in a store: how many a second in each bucket.',
          normal: 'A band at the chunk size (128 KiB), and one at the small sizes of short logs and last chunks.',
          otherwise: 'Only small ones: the jobs say little. Anything above the chunk size is a defect.',
          size: [8, 8],
          unit: 'bytes',
          buckets: `sum by (le) (rate(veritail_chunk_size_bytes_bucket{${HERE}}[$__rate_interval]))`,
        }),
        timeseries({
          title: 'Log sizes: p50, p99',
          shows: 'Sizes of the logs that were closed.',
          normal: 'Level from day to day.',
          otherwise: 'A p99 that jumps: a job writes far too much; `veritail_append_rejected_total` says whether it met its limit.',
          size: [8, 8],
          unit: 'bytes',
          queries: quantiles('veritail_trace_size_bytes', '', [0.5, 0.99]),
        }),
        timeseries({
          title: 'Chunk sizes by store: p50',
          shows: 'The middle size of the chunks that come to rest in each store.',
          normal: 'The object store\'s is near the chunk size where logs are long.',
          otherwise: 'The database has any: the object store takes nothing and chunks go there meanwhile (*Storage and migration*, spill).',
          size: [8, 8],
          unit: 'bytes',
          queries: [
            { expr: `histogram_quantile(0.5, sum by (le, store) (rate(veritail_chunk_size_bytes_bucket{${HERE}}[$__rate_interval]))) >= 0`, legend: '{{store}}' },
          ],
        }),
        timeseries({
          title: 'Write to read: p50, p99',
          shows: 'From sending bytes to having read them back, as the canary sees it.',
          normal: 'Well below a second.',
          otherwise: 'Appends or reads are slow: the rows above.',
          size: [8, 8],
          unit: 's',
          queries: quantiles('veritail_append_to_read_seconds', '', [0.5, 0.99]),
        }),
        timeseries({
          title: 'Other requests',
          shows: 'Requests a second that are neither a runner\'s log nor a reader\'s: lists, documents, job requests, probes.',
          normal: 'Level; runners that ask for jobs come at their interval.',
          otherwise: 'A client in a loop: the access log has its address.',
          size: [8, 8],
          unit: 'reqps',
          queries: [{ expr: `sum by (method) (rate(veritail_http_requests_total{${HERE},route="other"}[$__rate_interval]))`, legend: '{{method}}' }],
        }),
      ],
    },
  ],
});
