// What must not compile: a wrong key, type or value of Grafana's own schema. If the types let one of these pass, the line
// above it is an error itself. Nothing imports this file.
import { BigValueColorMode } from '@grafana/schema';
import { above, page } from './limits';
import { stat, timeseries } from './panels';
import type { BarGaugePanel, PrometheusQuery, StatPanel, TimeSeriesPanel } from './schema';

const said = { title: 'A', shows: 'B.', normal: 'C.', otherwise: 'D.', size: [6, 4] as [number, number] };
const queries = [{ expr: 'up', legend: 'up' }];

// @ts-expect-error There is no such unit here.
stat({ ...said, queries, unit: 'seconds' });
// @ts-expect-error A panel without a unit.
stat({ ...said, queries });
// @ts-expect-error A panel that does not say what is normal.
stat({ title: 'A', shows: 'B.', otherwise: 'D.', size: [6, 4], unit: 's', queries });
// @ts-expect-error A query without a legend.
timeseries({ ...said, unit: 's', queries: [{ expr: 'up' }] });
// @ts-expect-error A limit that is no number.
stat({ ...said, queries, unit: 's', limits: above(page('VeritailAlert', '900')) });
// @ts-expect-error A key that a stat does not have.
export const key: StatPanel['options'] = { colourMode: BigValueColorMode.Value };
// @ts-expect-error A value that its enum does not have.
export const value: StatPanel['options'] = { colorMode: 'green' };
// @ts-expect-error A type that is wrong.
export const type: BarGaugePanel['options'] = { minVizHeight: '16' };
// @ts-expect-error A setting that lines do not have.
export const custom: TimeSeriesPanel['fieldConfig'] = { defaults: { custom: { lineThickness: 1 } }, overrides: [] };
// @ts-expect-error A setting of one field that does not exist.
export const override: TimeSeriesPanel['fieldConfig'] = { defaults: {}, overrides: [{ matcher: { id: 'byName', options: 'A' }, properties: [{ id: 'colour', value: 1 }] }] };
// @ts-expect-error A format that the data source does not have.
export const query: PrometheusQuery = { refId: 'A', expr: 'up', legendFormat: '', format: 'json', instant: true, range: false };
