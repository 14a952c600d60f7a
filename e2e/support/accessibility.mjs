// axe-core over a page: WCAG 2.2 A and AA, and the best practices that hold for any page.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { look } from './worlds.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

// Where scripts are off, timers do not run, and axe waits on timers of no length. Promises do run.
const TIMERS = `if (matchMedia('(scripting: none)').matches) {
  globalThis.setTimeout = (run, _ms, ...words) => { Promise.resolve().then(() => run(...words)); return 0; };
}`;

const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22a', 'wcag22aa', 'best-practice'];

/** The rules of which another colour scheme can make a difference. */
const OF_COLOUR = ['color-contrast', 'link-in-text-block'];

/**
 * Fails unless axe finds nothing wrong with the page as it stands.
 *
 * With `ofColour` only what a colour scheme decides: the rest was looked at in the other scheme.
 * `except` names rules that are left out, each with the reason; `within` is a selector that limits
 * it to a part.
 */
export async function expectAccessible(page, { except = {}, within, ofColour = false } = {}) {
  const options = {
    runOnly: ofColour ? { type: 'rule', values: OF_COLOUR } : { type: 'tag', values: TAGS },
    rules: Object.fromEntries(Object.keys(except).map((rule) => [rule, { enabled: false }])),
    resultTypes: ['violations'],
    iframes: false,
    // It would fetch style sheets, and the page's policy is not the reason to find nothing.
    preload: false,
  };
  const target = within ? JSON.stringify(within) : 'document';
  const { violations, passes } = await look(page,
    `axe.run(${target}, ${JSON.stringify(options)}).then(({ violations, passes }) => (
      { violations, passes: passes.length }))`,
    { prelude: { name: 'axe', code: TIMERS + AXE } });
  if (passes === 0) throw new Error(`axe looked at nothing on ${page.url()}`);
  if (violations.length > 0) throw new Error(words(page.url(), violations));
}

function words(url, violations) {
  const lines = violations.flatMap(({ id, impact, help, helpUrl, nodes }) => [
    `  ${id} (${impact}): ${help}`,
    ...nodes.slice(0, 5).flatMap(({ target, html, failureSummary }) => [
      `    at ${target.join(' ')}`,
      `       ${html.slice(0, 200).replaceAll(/\s+/g, ' ')}`,
      ...(failureSummary ?? '').split('\n').slice(1).map((line) => `       ${line.trim()}`),
    ]),
    ...(nodes.length > 5 ? [`    and at ${nodes.length - 5} more places`] : []),
    `    ${helpUrl}`,
  ]);
  return `${url} is not accessible:\n${lines.join('\n')}`;
}
