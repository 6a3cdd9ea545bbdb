// One function for each kind of panel. What is the same in all of them is said here, so that a panel is one literal: what
// it asks, in what unit, and what a person makes of it.
import {
  BarGaugeDisplayMode, BarGaugeNamePlacement, BarGaugeValueMode, BigValueColorMode, BigValueGraphMode, BigValueJustifyMode,
  BigValueTextMode, FieldColorModeId, GraphDrawStyle, GraphThresholdsStyleMode, HeatmapCellLayout, LegendDisplayMode, MappingType,
  SortOrder, StackingMode, TableCellDisplayMode, ThresholdsMode, TooltipDisplayMode, VisibilityMode, VizOrientation,
} from '@grafana/schema';
import type { DataTransformerConfig, FieldConfig } from '@grafana/schema';
import type { HeatmapColorMode, HeatmapColorScale } from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen.d.ts';
import { type Limits, named, steps } from './limits';
import type {
  AnyPanel, BarGaugePanel, DataLink, Override, PrometheusQuery, StatPanel, TablePanel, TextPanel, Unit,
} from './schema';

/** The colours of words that mean something, wherever they stand in a legend. */
export const GREEN = 'green';
export const ORANGE = 'orange';
export const RED = 'red';
export const GREY = '#8e8e8e';

/** A query with the legend of its series. */
export interface Query {
  expr: string;
  legend: string;
}

/** What every panel says. */
interface Said {
  title: string;
  /** What it is. */
  shows: string;
  /** What it looks like when all is well. */
  normal: string;
  /** What to do when it does not. */
  otherwise: string;
  /** Its width, of 24, and its height. */
  size: [width: number, height: number];
}

interface Measured extends Said {
  unit: Unit;
  queries: Query[];
  /** From where on it is wrong: where alerts fire. */
  limits?: Limits;
  decimals?: number;
  /** What is shown where there is nothing to show. */
  none?: string;
  links?: DataLink[];
}

export type Unplaced = AnyPanel extends infer Panel ? (Panel extends AnyPanel ? Omit<Panel, 'id' | 'gridPos'> & { size: Said['size'] } : never) : never;

/** No value goes beyond it. Grafana takes an open end of a range for 0. */
const FAR = 1e12;

/** The data source that the reader chose. */
export const SOURCE = { type: 'prometheus', uid: '${datasource}' };

function description(said: Said, limits?: Limits): string {
  const parts = [said.shows, `**Normal:** ${said.normal}`, `**Otherwise:** ${said.otherwise}`];
  if (limits) parts.push(named(limits));
  return parts.join('\n\n');
}

function targets(queries: Query[], format: PrometheusQuery['format'], instant: boolean): PrometheusQuery[] {
  return queries.map(({ expr, legend }, at) => ({
    refId: String.fromCharCode(65 + at),
    datasource: SOURCE,
    expr,
    legendFormat: legend,
    format,
    instant,
    range: !instant,
  }));
}

type Common = Pick<FieldConfig, 'decimals' | 'noValue' | 'min' | 'thresholds'> & { unit: Unit; links?: DataLink[] };

function fields(panel: Measured): Common {
  return {
    unit: panel.unit,
    min: 0,
    ...(panel.decimals === undefined ? {} : { decimals: panel.decimals }),
    ...(panel.none === undefined ? {} : { noValue: panel.none }),
    ...(panel.links ? { links: panel.links } : {}),
    thresholds: { mode: ThresholdsMode.Absolute, steps: steps(panel.limits) },
  };
}

/** One number that says how it is. Green is good; without limits it has no colour. */
export function stat(panel: Measured & {
  words?: Record<string, string | { text: string; color: string }>;
  /** A text, or a colour, for every value from this one on, or below it. */
  atLeast?: { value: number } & ({ text: string } | { color: string });
  below?: { value: number; text: string };
  background?: boolean;
  names?: boolean;
}): Unplaced {
  const words: StatPanel['fieldConfig']['defaults']['mappings'] = [];
  if (panel.words) {
    const options = Object.fromEntries(
      Object.entries(panel.words).map(([value, word], index) => [value, { ...(typeof word === 'string' ? { text: word } : word), index }]),
    );
    words.push({ type: MappingType.ValueToText, options });
  }
  if (panel.below) {
    words.push({ type: MappingType.RangeToText, options: { from: -FAR, to: panel.below.value - 1e-9, result: { text: panel.below.text } } });
  }
  if (panel.atLeast) {
    const { value, ...result } = panel.atLeast;
    words.push({ type: MappingType.RangeToText, options: { from: value, to: FAR, result } });
  }
  return {
    type: 'stat',
    title: panel.title,
    description: description(panel, panel.limits),
    datasource: SOURCE,
    size: panel.size,
    options: {
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      orientation: VizOrientation.Auto,
      textMode: panel.names ? BigValueTextMode.ValueAndName : BigValueTextMode.Value,
      colorMode: !panel.limits && !panel.background ? BigValueColorMode.None : panel.background ? BigValueColorMode.BackgroundSolid : BigValueColorMode.Value,
      graphMode: BigValueGraphMode.None,
      justifyMode: BigValueJustifyMode.Center,
      wideLayout: true,
    },
    fieldConfig: {
      defaults: { ...fields(panel), color: { mode: FieldColorModeId.Thresholds }, mappings: words },
      overrides: [],
    },
    targets: targets(panel.queries, 'time_series', true),
  };
}

/** Lines over time. */
export function timeseries(panel: Measured & {
  /** The colours of series, by their legends. */
  colours?: Record<string, string>;
  /** Series that are limits of others, by their legends: dashed, without a fill. */
  dashed?: string[];
  /** One upon the other. */
  stacked?: boolean;
  /** Bars, for events that are few. */
  bars?: boolean;
  max?: number;
  /** The axis reaches at least to here, so that small values look small. */
  softMax?: number;
  /** For panels with so many series that their names do not fit below. */
  legendAtTheRight?: boolean;
}): Unplaced {
  // An axis of values that are all zero would go to 100.
  const softMax = panel.softMax ?? (panel.unit === 'none' ? 1 : ({ percentunit: 0.01, ops: 0.1 } as Partial<Record<Unit, number>>)[panel.unit]);
  const dashed = (name: string): Override => ({
    matcher: { id: 'byName', options: name },
    properties: [{ id: 'custom.lineStyle', value: { fill: 'dash', dash: [8, 6] } }, { id: 'custom.fillOpacity', value: 0 }],
  });
  return {
    type: 'timeseries',
    title: panel.title,
    description: description(panel, panel.limits),
    datasource: SOURCE,
    size: panel.size,
    options: {
      legend: { showLegend: true, displayMode: LegendDisplayMode.List, placement: panel.legendAtTheRight ? 'right' : 'bottom', calcs: [] },
      tooltip: { mode: TooltipDisplayMode.Multi, sort: SortOrder.Descending },
    },
    fieldConfig: {
      defaults: {
        ...fields(panel),
        ...(panel.max === undefined ? {} : { max: panel.max }),
        color: { mode: FieldColorModeId.PaletteClassic },
        custom: {
          drawStyle: panel.bars ? GraphDrawStyle.Bars : GraphDrawStyle.Line,
          lineWidth: 1,
          fillOpacity: panel.bars ? 80 : panel.stacked ? 30 : 10,
          showPoints: VisibilityMode.Never,
          ...(softMax === undefined ? {} : { axisSoftMax: softMax }),
          stacking: { mode: panel.stacked || panel.bars ? StackingMode.Normal : StackingMode.None, group: 'A' },
          thresholdsStyle: { mode: panel.limits ? GraphThresholdsStyleMode.Dashed : GraphThresholdsStyleMode.Off },
        },
      },
      overrides: [
        ...Object.entries(panel.colours ?? {}).map(([name, colour]): Override => ({
          matcher: { id: 'byName', options: name },
          properties: [{ id: 'color', value: { mode: FieldColorModeId.Fixed, fixedColor: colour } }],
        })),
        ...(panel.dashed ?? []).map(dashed),
      ],
    },
    targets: targets(panel.queries, 'time_series', false),
  };
}

/** How a histogram is spread over its buckets, over time. */
export function heatmap(panel: Omit<Measured, 'limits' | 'queries'> & { buckets: string }): Unplaced {
  // These two are enums of a package's inner file, which has them as types only.
  const mode = 'scheme' as HeatmapColorMode.Scheme;
  const scale = 'exponential' as HeatmapColorScale.Exponential;
  return {
    type: 'heatmap',
    title: panel.title,
    description: description(panel),
    datasource: SOURCE,
    size: panel.size,
    options: {
      calculate: false,
      cellGap: 1,
      cellValues: { unit: 'reqps' },
      color: { mode, scheme: 'Blues', steps: 64, exponent: 0.5, scale, fill: 'dark-blue', reverse: false },
      exemplars: { color: 'rgba(255,0,255,0.7)' },
      filterValues: { le: 1e-9 },
      legend: { show: true },
      rowsFrame: { layout: HeatmapCellLayout.auto },
      showValue: VisibilityMode.Never,
      tooltip: { mode: TooltipDisplayMode.Single, yHistogram: false, showColorScale: true },
      yAxis: { unit: panel.unit, reverse: false },
    },
    fieldConfig: { defaults: { ...(panel.none === undefined ? {} : { noValue: panel.none }) }, overrides: [] },
    targets: targets([{ expr: panel.buckets, legend: '{{le}}' }], 'heatmap', false),
  };
}

/** Bars side by side, of sums over the time that is shown. */
export function bargauge(panel: Measured): Unplaced {
  const options: BarGaugePanel['options'] = {
    reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
    orientation: VizOrientation.Horizontal,
    displayMode: BarGaugeDisplayMode.Basic,
    valueMode: BarGaugeValueMode.Color,
    namePlacement: BarGaugeNamePlacement.Top,
    showUnfilled: true,
    minVizHeight: 16,
    maxVizHeight: 40,
  };
  return {
    type: 'bargauge',
    title: panel.title,
    description: description(panel, panel.limits),
    datasource: SOURCE,
    size: panel.size,
    options,
    fieldConfig: { defaults: { ...fields(panel), color: { mode: FieldColorModeId.Thresholds } }, overrides: [] },
    targets: targets(panel.queries, 'time_series', true),
  };
}

/** States over time; `states` says what a value is. */
export function timeline(panel: Measured & { states: Record<string, { text: string; color: string }> }): Unplaced {
  const options = Object.fromEntries(Object.entries(panel.states).map(([value, state], index) => [value, { ...state, index }]));
  return {
    type: 'state-timeline',
    title: panel.title,
    description: description(panel, panel.limits),
    datasource: SOURCE,
    size: panel.size,
    options: {
      rowHeight: 0.8,
      mergeValues: true,
      showValue: VisibilityMode.Never,
      alignValue: 'left',
      legend: { showLegend: true, displayMode: LegendDisplayMode.List, placement: 'bottom', calcs: [] },
      tooltip: { mode: TooltipDisplayMode.Single, sort: SortOrder.None },
    },
    fieldConfig: {
      defaults: {
        ...fields(panel),
        color: { mode: FieldColorModeId.Thresholds },
        mappings: [{ type: MappingType.ValueToText, options }],
        custom: { lineWidth: 0, fillOpacity: 80 },
      },
      overrides: [],
    },
    targets: targets(panel.queries, 'time_series', false),
  };
}

/** A column of a table: its field, its head, and what is particular of it. */
export interface Column {
  /** The label, or `Value` (`Value #A`, `Value #B` where there are several queries). */
  field: string;
  head: string;
  width?: number;
  unit?: Unit;
  decimals?: number;
  limits?: Limits;
  links?: DataLink[];
  /** Not all rows have it. */
  optional?: boolean;
}

/** One row for each set of labels, one column for each label or query that `columns` names. */
export function table(panel: Omit<Measured, 'queries' | 'unit' | 'limits' | 'links' | 'decimals'> & {
  queries: string[];
  columns: Column[];
  /** The columns by which it is sorted, the most important one first. */
  sortBy?: { head: string; descending: boolean }[];
}): Unplaced {
  const indexByName = Object.fromEntries(panel.columns.map(({ field }, index) => [field, index]));
  const renameByName = Object.fromEntries(panel.columns.map(({ field, head }) => [field, head]));
  const includeByName = Object.fromEntries(panel.columns.map(({ field }) => [field, true]));
  const transformations: DataTransformerConfig[] = [
    ...(panel.queries.length > 1 ? [{ id: 'merge', options: {} }] : []),
    { id: 'organize', options: { includeByName, excludeByName: {}, indexByName, renameByName } },
  ];
  const limits = panel.columns.flatMap((column) => (column.limits ? [column.limits] : []));
  const overrides = panel.columns.map((column): Override => {
    const properties: Override['properties'] = [];
    if (column.unit) properties.push({ id: 'unit', value: column.unit });
    if (column.decimals !== undefined) properties.push({ id: 'decimals', value: column.decimals });
    if (column.width !== undefined) properties.push({ id: 'custom.width', value: column.width });
    if (column.optional) properties.push({ id: 'noValue', value: '-' });
    if (column.links) properties.push({ id: 'links', value: column.links });
    if (column.limits) {
      properties.push({ id: 'thresholds', value: { mode: ThresholdsMode.Absolute, steps: steps(column.limits) } });
      properties.push({ id: 'custom.cellOptions', value: { type: TableCellDisplayMode.ColorText } });
    }
    return { matcher: { id: 'byName', options: column.head }, properties };
  });
  const options: TablePanel['options'] = {
    showHeader: true,
    frameIndex: 0,
    sortBy: (panel.sortBy ?? []).map(({ head, descending }) => ({ displayName: head, desc: descending })),
  };
  return {
    type: 'table',
    title: panel.title,
    description: [description(panel), ...limits.map(named)].join('\n\n'),
    datasource: SOURCE,
    size: panel.size,
    options,
    transformations,
    fieldConfig: {
      defaults: {
        ...(panel.none === undefined ? {} : { noValue: panel.none }),
        custom: { align: 'left', inspect: false },
        thresholds: { mode: ThresholdsMode.Absolute, steps: steps(undefined) },
      },
      overrides: overrides.filter(({ properties }) => properties.length > 0),
    },
    targets: targets(panel.queries.map((expr) => ({ expr, legend: '' })), 'table', true),
  };
}

/** A note, in Markdown. */
export function note(panel: Said & { content: string }): Unplaced {
  const { title, content } = panel;
  const options: TextPanel['options'] = { mode: 'markdown', content };
  return { type: 'text', title, description: description(panel), size: panel.size, options };
}
