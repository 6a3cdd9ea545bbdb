// Grafana's own types, put together: what a panel of each kind may hold. Grafana's general panel allows any option of any
// type; these allow only what the kind has, so that a wrong key, type or value does not compile.
import type { DataQuery, Dashboard, FieldConfig, Panel, RowPanel } from '@grafana/schema';
import type * as bargauge from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen.d.ts';
import type * as heatmap from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen.d.ts';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen.d.ts';
import type * as timeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen.d.ts';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen.d.ts';
import type * as text from '@grafana/schema/dist/esm/raw/composable/text/panelcfg/x/TextPanelCfg_types.gen.d.ts';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen.d.ts';

/** The units that panels here are in, by Grafana's names. */
export type Unit = 'none' | 's' | 'bytes' | 'Bps' | 'reqps' | 'ops' | 'percentunit';

/** A query of the Prometheus data source. Its type is in none of Grafana's packages of types. */
export interface PrometheusQuery extends DataQuery {
  expr: string;
  legendFormat: string;
  format: 'time_series' | 'table' | 'heatmap';
  instant: boolean;
  range: boolean;
}

/** A link from a value to a page. */
export interface DataLink {
  title: string;
  url: string;
  targetBlank?: boolean;
}

interface Fields<Custom> {
  defaults: Omit<FieldConfig, 'custom' | 'unit' | 'links'> & { custom?: Custom; unit?: Unit; links?: DataLink[] };
  overrides: Override[];
}

/** Other settings for some of the fields. */
export interface Override {
  matcher: { id: 'byName' | 'byRegexp'; options: string };
  properties: Property[];
}

/** A setting of a field. */
export type Property =
  | { id: 'unit'; value: Unit }
  | { id: 'decimals'; value: number }
  | { id: 'displayName'; value: string }
  | { id: 'color'; value: NonNullable<FieldConfig['color']> }
  | { id: 'thresholds'; value: NonNullable<FieldConfig['thresholds']> }
  | { id: 'mappings'; value: NonNullable<FieldConfig['mappings']> }
  | { id: 'links'; value: DataLink[] }
  | { id: 'noValue'; value: string }
  | { id: 'custom.width'; value: number }
  | { id: 'custom.cellOptions'; value: table.FieldConfig['cellOptions'] }
  | { id: 'custom.lineStyle'; value: NonNullable<timeseries.FieldConfig['lineStyle']> }
  | { id: 'custom.fillOpacity'; value: number }
  | { id: 'custom.drawStyle'; value: NonNullable<timeseries.FieldConfig['drawStyle']> };

interface Of<Type extends string, Options, Custom> extends Omit<Panel, 'type' | 'options' | 'fieldConfig' | 'targets'> {
  type: Type;
  id: number;
  title: string;
  description: string;
  gridPos: { x: number; y: number; w: number; h: number };
  options: Options;
  fieldConfig: Fields<Custom>;
  targets: PrometheusQuery[];
}

/** What some panels may leave to Grafana. */
type Some<Options> = { [Key in keyof Options]?: Options[Key] };

export type StatPanel = Of<'stat', Some<stat.Options>, never>;
export type BarGaugePanel = Of<'bargauge', Some<bargauge.Options>, never>;
export type TimeSeriesPanel = Of<'timeseries', timeseries.Options, timeseries.FieldConfig>;
export type HeatmapPanel = Of<'heatmap', heatmap.Options, heatmap.FieldConfig>;
export type StateTimelinePanel = Of<'state-timeline', timeline.Options, timeline.FieldConfig>;
export type TablePanel = Of<'table', table.Options, Some<table.FieldConfig>>;
export type TextPanel = Omit<Of<'text', Omit<text.Options, 'mode'> & { mode: `${text.TextMode}` }, never>, 'targets' | 'fieldConfig'>;

export type AnyPanel = StatPanel | BarGaugePanel | TimeSeriesPanel | HeatmapPanel | StateTimelinePanel | TablePanel | TextPanel;

/** A dashboard of such panels. */
export interface Board extends Omit<Dashboard, 'panels'> {
  uid: string;
  title: string;
  panels: (AnyPanel | RowPanel)[];
}
