// What all dashboards have in common: variables, links, annotations, and where panels stand.
import { DashboardCursorSync, VariableRefresh, VariableSort } from '@grafana/schema';
import type { AnnotationQuery, DashboardLink, DataQuery, RowPanel, VariableModel } from '@grafana/schema';
import { SOURCE, type Unplaced } from './panels';
import type { AnyPanel, Board, DataLink } from './schema';

/** Stands in every selector: what the reader chose to look at. */
export const HERE = 'job=~"$job",instance=~"$instance"';
/** Of series that rules recorded, which know no instance. */
export const JOB = 'job=~"$job"';
/** Bytes that nobody names harm no log: they are a ticket. */
export const HARMFUL = 'kind!="orphan"';

/** A row of panels; `closed` ones are opened by whoever needs them. */
export interface Row {
  title: string;
  panels: Unplaced[];
}

const TAG = 'veritail';

/** All dashboards have this, so that each finds the others. */
const others: DashboardLink = {
  type: 'dashboards', title: 'Veritail', tags: [TAG], asDropdown: false, includeVars: true, keepTime: true, targetBlank: false, icon: '',
  tooltip: 'The other dashboards, with what is chosen here', url: '',
};

/** From a number to another dashboard, with the same time and choice. */
export function lookAt(uid: string, title: string): DataLink {
  return { title, url: `/d/${uid}?\${__url_time_range}&\${datasource:queryparam}&\${job:queryparam}&\${instance:queryparam}` };
}

function choice(name: string, label: string, query: string): VariableModel {
  return {
    type: 'query',
    name,
    label,
    datasource: SOURCE,
    query: { query, refId: name },
    refresh: VariableRefresh.onTimeRangeChanged,
    sort: VariableSort.alphabeticalAsc,
    multi: true,
    // All are those that are listed, and not everything that Prometheus scrapes.
    includeAll: true,
    current: { selected: true, text: ['All'], value: ['$__all'] },
  };
}

const variables: VariableModel[] = [
  { type: 'datasource', name: 'datasource', label: 'Data source', query: 'prometheus', current: { text: '', value: '' } },
  choice('job', 'Job', 'label_values(veritail_build_info, job)'),
  choice('instance', 'Instance', 'label_values(veritail_build_info{job=~"$job"}, instance)'),
];

/** An annotation of Prometheus: its query stands beside `target`, as Grafana's data source for Prometheus has it. */
interface PrometheusAnnotation extends AnnotationQuery<DataQuery> {
  expr: string;
  step: string;
  titleFormat: string;
  textFormat: string;
  tagKeys: string;
}

const annotations: PrometheusAnnotation[] = [
  {
    name: 'Starts',
    datasource: SOURCE,
    enable: true,
    iconColor: 'blue',
    // The version is where a start is looked for: a new one is a deployment.
    expr: `(time() - process_start_time_seconds{${HERE}} < bool $__interval_ms / 1000 + 30) * on (job, instance) group_left (version, revision) veritail_build_info{${HERE}} > 0`,
    step: '30s',
    titleFormat: '{{instance}} started',
    textFormat: 'version {{version}}, revision {{revision}}',
    tagKeys: 'instance,version',
  },
  {
    name: 'Mismatches',
    datasource: SOURCE,
    enable: true,
    iconColor: 'red',
    expr: `sum by (kind, store) (increase(veritail_integrity_mismatches_total{${HERE},${HARMFUL}}[$__rate_interval])) > 0`,
    step: '30s',
    titleFormat: '{{kind}} in {{store}}',
    textFormat: 'see Integrity',
    tagKeys: 'kind,store',
  },
];

/** Panels from left to right, and below one another where there is no more room; a row begins a new line. */
function place(rows: Row[]): (AnyPanel | RowPanel)[] {
  const placed: (AnyPanel | RowPanel)[] = [];
  let id = 0;
  let y = 0;
  for (const row of rows) {
    placed.push({ type: 'row', id: ++id, title: row.title, collapsed: false, panels: [], gridPos: { x: 0, y: y++, w: 24, h: 1 } });
    let x = 0;
    let tallest = 0;
    for (const { size: [w, h], ...panel } of row.panels) {
      if (x + w > 24) {
        x = 0;
        y += tallest;
        tallest = 0;
      }
      placed.push({ ...panel, id: ++id, gridPos: { x, y, w, h } } as AnyPanel);
      x += w;
      tallest = Math.max(tallest, h);
    }
    y += tallest;
  }
  return placed;
}

/** A dashboard. `uid` and `title` stay as they are: links and alerts name them. */
export function board(about: { uid: string; title: string; description: string; rows: Row[]; span?: string }): Board {
  return {
    uid: about.uid,
    title: `Veritail / ${about.title}`,
    description: about.description,
    tags: [TAG],
    editable: false,
    schemaVersion: 39,
    graphTooltip: DashboardCursorSync.Crosshair,
    timezone: 'browser',
    refresh: '30s',
    time: { from: `now-${about.span ?? '1h'}`, to: 'now' },
    links: [others],
    annotations: { list: annotations },
    templating: { list: variables },
    panels: place(about.rows),
  };
}
