import { readFile } from 'node:fs/promises';
import { Injectable, Module } from '@nestjs/common';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { AfterCommit, DevicesDeleted } from '../../src/index.js';
import { MetricsServer } from '../../src/metrics/metrics.server.js';
import { type Query, readQuery, resultLabels } from '../support/promql.js';
import { type TestApp, useApp } from '../support/test-app.js';

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly gridPos: Readonly<Record<'x' | 'y' | 'w' | 'h', number>>;
  readonly datasource: { readonly uid: string };
  readonly targets: readonly {
    readonly expr: string;
    readonly legendFormat: string;
    readonly datasource: { readonly uid: string };
  }[];
  readonly fieldConfig: {
    readonly defaults: { readonly unit: string };
    readonly overrides: readonly { readonly matcher: { readonly id: string; readonly options: string } }[];
  };
}

interface RuleTest {
  readonly input_series: readonly { readonly series: string }[];
  readonly promql_expr_test: readonly {
    readonly expr: string;
    readonly exp_samples: readonly { readonly labels: string }[];
  }[];
}

const file = (name: string) => readFile(new URL(`../../${name}`, import.meta.url), 'utf8');
const [ALERTS, ALERT_TESTS, EXAMPLE] = ['alerts.yml', 'alerts.test.yml', 'prometheus.yml'].map(
  (name) => `deploy/prometheus/${name}`,
) as [string, string, string];
const rules: Rule[] = parse(await file(ALERTS)).groups.flatMap(({ rules: some }: { rules: Rule[] }) => some);
const ruleTests: RuleTest[] = parse(await file(ALERT_TESTS)).tests;
const example = parse(await file(EXAMPLE));
const dashboard = JSON.parse(await file('deploy/grafana/sessions.json'));
const panels: Panel[] = dashboard.panels;
const targets = panels.flatMap(({ targets: some }) => some);

/** What Prometheus makes itself. */
const BUILT_IN = new Set(['up', 'ALERTS']);
/** What Prometheus adds to every series. */
const ADDED = new Set(['job', 'instance']);
/** Metrics that Node has on Linux only. */
const ONLY_ON_LINUX = process.platform === 'linux' ? [] : ['process_open_fds', 'process_max_fds'];

@Injectable()
class Subscriber {
  @AfterCommit(DevicesDeleted, 'subscriber')
  async onDevicesDeleted(): Promise<void> {}
}

@Module({ providers: [Subscriber] })
class SubscriberModule {}

const variables = { METRICS_PORT: '0', RATE_LIMITS: 'on' };
const app = useApp({
  extensions: [SubscriberModule],
  variables: { ...variables, PUBLIC_BASE_URL: 'http://localhost' },
});
const besideHomeserver = useApp({
  variables: {
    ...variables,
    // Nobody listens there, which makes no difference to the names of metrics.
    HOMESERVER_URL: 'http://127.0.0.1:9',
    HOMESERVER_SECRET: 'a-secret-that-only-the-homeserver-knows',
    HOMESERVER_RECONCILE: 'dry_run',
  },
});

/** The metrics that the service has. */
const metrics = new Set<string>();
/** Its series, with the values that each label has. A histogram has three names. */
const series = new Map<string, Map<string, Set<string>>>();

async function readMetrics(of: TestApp): Promise<void> {
  const answer = await fetch(`http://127.0.0.1:${of.nest.get(MetricsServer).port}/metrics`);
  for (const line of (await answer.text()).split('\n')) {
    const [, described] = /^# TYPE (\w+) /.exec(line) ?? [];
    if (described !== undefined) metrics.add(described);
    const [, name, all = ''] = /^(\w+)(?:\{(.*)\})? /.exec(line) ?? [];
    if (name === undefined) continue;
    const labels = series.get(name) ?? new Map<string, Set<string>>();
    for (const [, label, value] of all.matchAll(/(\w+)="([^"]*)"/g))
      labels.set(label!, (labels.get(label!) ?? new Set()).add(value!));
    series.set(name, labels);
  }
}

beforeAll(async () => {
  const session = await app().matrix.register();
  await app().matrix.logout(session).expect(200);
  await app().drain();
  await readMetrics(app());
  await readMetrics(besideHomeserver());
  for (const name of ONLY_ON_LINUX) series.set(name, new Map());
});

const exists = (metric: string) => BUILT_IN.has(metric) || series.has(metric);
const hasLabel = (metric: string, label: string) =>
  ADDED.has(label) || BUILT_IN.has(metric) || series.get(metric)?.has(label) === true;
/** The values of a label, whichever metric has it: not every route is asked here. */
const valuesOf = (label: string) => [...series.values()].flatMap((labels) => [...(labels.get(label) ?? [])]);

/** What a query names that does not exist. */
function faultsOf(text: string): string[] {
  const query = readQuery(text);
  const faults = query.selectors.filter(({ metric }) => !exists(metric)).map(({ metric }) => metric);
  for (const { metric, matchers } of query.selectors)
    for (const { label, operator, value } of matchers) {
      if (!hasLabel(metric, label)) faults.push(`${metric}{${label}}`);
      else if (!isKnownValue(label, operator, value)) faults.push(`${metric}{${label}="${value}"}`);
    }
  for (const { labels, metrics: grouped } of query.groupings)
    for (const metric of grouped)
      faults.push(
        ...labels.filter((label) => !hasLabel(metric, label)).map((label) => `${metric} by ${label}`),
      );
  for (const label of query.matchings.flat())
    if (!query.selectors.some(({ metric }) => hasLabel(metric, label))) faults.push(`on ${label}`);
  return faults;
}

/** Whether a matcher can match. A counter of 503s exists only after the first one. */
function isKnownValue(label: string, operator: string, value: string): boolean {
  if (label === 'status') return /^[1-5](?:\d\d|\.\.)$/.test(value);
  if (label === 'job') return value === example.scrape_configs[0].job_name;
  if (label === 'instance') return value === '$instance';
  if (!operator.includes('~')) return valuesOf(label).includes(value);
  const alternatives = /^[\w|]+$/.test(value) ? value.split('|') : [value];
  return alternatives.every((one) => valuesOf(label).some((known) => new RegExp(`^(?:${one})$`).test(known)));
}

/** Which of these labels the result of a query does not have. */
function strangersTo(query: Query, labels: readonly string[]): string[] {
  const kept = resultLabels(query);
  const { metric } = query.selectors[0]!;
  return labels.filter((label) => (kept === null ? !hasLabel(metric, label) : !kept.includes(label)));
}

/** A section of a document, without its heading. */
const sectionOf = (document: string, heading: string) =>
  document.split(/^## /m).find((section) => section.startsWith(`${heading}\n`))!;

describe('readQuery', () => {
  it('finds metrics, labels and groupings, and nothing in strings, ranges and functions', () => {
    const text = `histogram_quantile(0.9, sum by (le, job) (rate(a_bucket{x="}", y=~"b(c)|by (d)"}[5m]))) > 1e3
      or (e / on (f) group_left () sum by (g) (h{} + i)) unless absent(j offset 5m)`;
    expect(readQuery(text)).toEqual({
      selectors: [
        {
          metric: 'a_bucket',
          matchers: [
            { label: 'x', operator: '=', value: '}' },
            { label: 'y', operator: '=~', value: 'b(c)|by (d)' },
          ],
        },
        ...['e', 'h', 'i', 'j'].map((metric) => ({ metric, matchers: [] })),
      ],
      groupings: [
        { labels: ['le', 'job'], metrics: ['a_bucket'] },
        { labels: ['g'], metrics: ['h', 'i'] },
      ],
      matchings: [['f']],
    });
    expect(() => readQuery('sum without (a) (b)')).toThrow('without');
    expect(() => readQuery('sum(a) by (b)')).toThrow('stands before');
  });

  it('is the measure: names that do not exist are found', () => {
    expect(faultsOf('session_no_such_total')).toEqual(['session_no_such_total']);
    expect(faultsOf('session_http_request_duration_seconds')).toHaveLength(1);
    expect(faultsOf('session_logouts_total{outcome="failed"}')).toHaveLength(1);
    expect(faultsOf('session_logouts_total{result="fialed"}')).toHaveLength(1);
    expect(faultsOf('sum by (route) (session_logouts_total)')).toHaveLength(1);
    expect(faultsOf('session_http_requests_total{status="5xx"}')).toHaveLength(1);
    expect(faultsOf('session_logouts_total{result=~"ok|fialed"}')).toHaveLength(1);
  });
});

describe('deploy/prometheus/alerts.yml', () => {
  it('names only metrics and labels that the service has', () => {
    expect(rules.length).toBeGreaterThan(15);
    for (const { alert, expr } of rules) expect([alert, faultsOf(expr)]).toEqual([alert, []]);
  });

  it('says of each alert how urgent it is, what it means, and where to read on', () => {
    for (const { alert, labels, annotations } of rules) {
      expect(alert).toMatch(/^Sessions[A-Z]/);
      expect(labels).toEqual({ severity: expect.stringMatching(/^(?:critical|warning)$/) });
      expect(annotations).toEqual({
        summary: expect.stringMatching(/^[^.].*[^.]$/),
        description: expect.stringMatching(/^[A-Z{].*\.$/),
        runbook: `docs/alerts.md#${alert.toLowerCase()}`,
      });
    }
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
  });

  it('shows only labels that the alert has', () => {
    const used = rules.flatMap(({ alert, expr, annotations }) => {
      const text = Object.values(annotations).join(' ');
      const labels = [...text.matchAll(/\$labels\.(\w+)/g)].map(([, label]) => label!);
      expect([alert, strangersTo(readQuery(expr), labels)]).toEqual([alert, []]);
      return labels;
    });
    expect(new Set(used)).toContain('subscriber');
  });

  it('has a paragraph in docs/alerts.md for each alert, and no other, in the same order', async () => {
    const [, ...paragraphs] = (await file('docs/alerts.md')).split(/^### /m);
    const explained = paragraphs.map((text) => /^(\w+)\n\n[A-Z`][^]{100,}/.exec(text)?.[1]);
    expect(explained).toEqual(rules.map(({ alert }) => alert));
  });

  it('has tests in which each alert fires and is silent, with series that the service has', () => {
    for (const { alert } of rules) {
      const outcomes = ruleTests
        .map(({ promql_expr_test: steps }) =>
          steps.map(({ exp_samples: samples }) =>
            samples.some(({ labels }) => labels.includes(`alertname="${alert}"`)),
          ),
        )
        .filter((steps) => steps.includes(true));
      expect([alert, outcomes.some((steps) => steps.includes(false))]).toEqual([alert, true]);
    }
    const inputs = new Set(ruleTests.flatMap(({ input_series: all }) => all.map(({ series: one }) => one)));
    const { selectors } = readQuery([...inputs].join('\n'));
    expect(selectors.length).toBe(inputs.size);
    for (const { metric, matchers } of selectors) {
      const unknown = matchers.filter(({ label }) => !hasLabel(metric, label));
      expect([metric, exists(metric), unknown]).toEqual([metric, true, []]);
    }
  });
});

describe('deploy/prometheus/prometheus.yml', () => {
  it('loads the alerts, and calls its job as they expect', () => {
    expect(example.rule_files).toEqual(['alerts.yml']);
    expect(example.scrape_configs).toHaveLength(1);
    const jobs = rules.flatMap(({ expr }) =>
      readQuery(expr).selectors.flatMap(({ matchers }) =>
        matchers.filter(({ label }) => label === 'job').map(({ value }) => value),
      ),
    );
    expect(new Set(jobs)).toEqual(new Set([example.scrape_configs[0].job_name]));
  });

  it('waits for a node whose database begins to hang', () => {
    const { scrape_interval: interval, scrape_timeout: timeout } = example.global;
    expect(Number.parseInt(timeout, 10)).toBeGreaterThan(10);
    expect(Number.parseInt(timeout, 10)).toBeLessThanOrEqual(Number.parseInt(interval, 10));
  });
});

describe('deploy/grafana/sessions.json', () => {
  it('names only metrics and labels that the service has, of the chosen instances', () => {
    expect(targets.length).toBeGreaterThan(20);
    for (const { expr } of targets) {
      expect([expr, faultsOf(expr)]).toEqual([expr, []]);
      for (const { matchers } of readQuery(expr).selectors)
        expect([expr, matchers]).toEqual([
          expr,
          expect.arrayContaining([{ label: 'instance', operator: '=~', value: '$instance' }]),
        ]);
    }
  });

  it('has a variable for the data source and one for the instances, and uses them', () => {
    const [source, instance, ...others] = dashboard.templating.list;
    expect(others).toEqual([]);
    expect(source).toMatchObject({ name: 'datasource', type: 'datasource', query: 'prometheus' });
    expect(instance).toMatchObject({ name: 'instance', type: 'query', includeAll: true, multi: true });
    const [, metric, label] = /^label_values\((\w+), (\w+)\)$/.exec(instance.query.query)!;
    expect([series.has(metric!), label]).toEqual([true, 'instance']);
    for (const { datasource } of [...panels, ...targets, instance])
      expect(datasource).toEqual({ type: 'prometheus', uid: '${datasource}' });
    expect(dashboard).toMatchObject({ id: null, refresh: '30s', schemaVersion: 39 });
  });

  it('has panels with a title, a unit and a query, and legends of labels that exist', () => {
    for (const { title, targets: queries, fieldConfig } of panels) {
      expect([title, queries.length > 0, fieldConfig.defaults.unit]).toEqual([
        expect.stringMatching(/^[A-Z]/),
        true,
        expect.stringMatching(/^[a-z]+$/),
      ]);
      const legends = queries.flatMap(({ expr, legendFormat }) => {
        const labels = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label!);
        expect([title, strangersTo(readQuery(expr), labels)]).toEqual([title, []]);
        const [label] = labels;
        if (label === undefined) return [legendFormat];
        return valuesOf(label).map((value) => legendFormat.replace(`{{${label}}}`, value));
      });
      for (const { matcher } of fieldConfig.overrides)
        if (matcher.id === 'byName') expect(legends).toContain(matcher.options);
    }
  });

  it('fits one screen of 1080 lines, without overlaps', () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const places = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, at) => `${x + (at % w)},${y + Math.floor(at / w)}`),
    );
    expect(new Set(places).size).toBe(places.length);
    for (const { gridPos } of panels) expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
    // A unit is 38 pixels high, and Grafana and the browser need some room of their own.
    expect(Math.max(...panels.map(({ gridPos: { y, h } }) => y + h))).toBeLessThanOrEqual(20);
  });
});

describe('docs/operating.md', () => {
  it('lists every metric of the service with its labels, and no other', async () => {
    const section = sectionOf(await file('docs/operating.md'), 'Metrics');
    const cells = section.split('\n').flatMap((line) => /^\| (`[^|]*`) \|/.exec(line)?.[1] ?? []);
    const listed = cells.flatMap((cell) =>
      [...cell.matchAll(/`(session_\w+)(?:\{([^}]*)\})?`/g)].map(([, name, labels = '']) => [
        name!,
        labels
          .split(', ')
          .filter((label) => label !== '')
          .toSorted(),
      ]),
    );
    const own = [...metrics].filter((name) => name.startsWith('session_'));
    const labelsOf = (name: string) =>
      [...(series.get(name) ?? series.get(`${name}_count`) ?? new Map()).keys()].toSorted();
    expect(own.length).toBeGreaterThan(20);
    expect(Object.fromEntries(listed)).toEqual(Object.fromEntries(own.map((name) => [name, labelsOf(name)])));
    expect(listed).toHaveLength(own.length);
  });

  it('names the files that are there', async () => {
    const section = sectionOf(await file('docs/operating.md'), 'Metrics');
    const links = [...section.matchAll(/\]\(([^)#]+)/g)].map(([, link]) => link!);
    expect(links).toEqual(
      expect.arrayContaining([
        `../${ALERTS}`,
        `../${EXAMPLE}`,
        '../deploy/grafana/sessions.json',
        'alerts.md',
      ]),
    );
    for (const link of links)
      await expect(file(link.startsWith('../') ? link.slice(3) : `docs/${link}`)).resolves.not.toBe('');
  });
});
