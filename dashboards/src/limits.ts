// From where on a value is wrong. Every limit names the alert that fires there, and a test holds its number to that alert's.
import type { Threshold } from '@grafana/schema';

/** Where an alert fires. */
export interface Mark {
  /** The alert. */
  alert: string;
  /** The value, in the panel's unit. Of counts that must be 0, and of shares of what an alert allows: 1. */
  at: number;
  /** Whether it wakes somebody. */
  pages: boolean;
}

/** Marks with what is wrong: what is at or above them, or what is below. */
export interface Limits {
  wrong: 'above' | 'below';
  /** From small to great. */
  marks: Mark[];
}

/** An alert that wakes somebody. */
export const page = (alert: string, at: number): Mark => ({ alert, at, pages: true });

/** An alert that becomes a ticket. */
export const ticket = (alert: string, at: number): Mark => ({ alert, at, pages: false });

/** What is at or above a mark is wrong. */
export const above = (...marks: Mark[]): Limits => ({ wrong: 'above', marks });

/** What is below a mark is wrong; all marks have the same value. */
export const below = (...marks: Mark[]): Limits => ({ wrong: 'below', marks });

const colour = (mark: Mark): string => (mark.pages ? 'red' : 'orange');

/** As Grafana has them. */
export function steps(limits: Limits | undefined): Threshold[] {
  if (!limits) return [{ color: 'text', value: null }];
  // Where two alerts fire at the same value, the first one gives the colour.
  const marks = limits.marks.filter((mark, at) => limits.marks.findIndex((other) => other.at === mark.at) === at);
  if (limits.wrong === 'above') {
    return [{ color: 'green', value: null }, ...marks.map((mark) => ({ color: colour(mark), value: mark.at }))];
  }
  return marks.flatMap((mark) => [{ color: colour(mark), value: null }, { color: 'green', value: mark.at }]);
}

/** A sentence that names the alerts. */
export function named(limits: Limits): string {
  const alerts = limits.marks.map((mark) => `\`${mark.alert}\` (${mark.pages ? 'a page' : 'a ticket'})`);
  return `**Alert:** ${alerts.join(', ')}.`;
}
