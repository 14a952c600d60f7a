// Chromium: where it is, how it is started, and the ways of looking at a page.

import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium } from 'playwright-core';

/** What Chromium is called on PATH; `./check` looks for the same names. */
const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

/** How long a page may take over anything. Debug builds on a busy machine are slow. */
const STEP_MS_MAX = 20_000;

/**
 * Starts Chromium. It sees nothing but this machine: every other name is not found, and names under
 * `.test` are 127.0.0.1, so that a page can come from another site.
 *
 * With `keepsPages` it has the back-forward cache that people have, and Playwright switches off: going
 * back then shows a page as it was left, without asking for it again.
 */
export async function startBrowser({ keepsPages = false } = {}) {
  return chromium.launch({
    executablePath: process.env.CLAVIGER_E2E_CHROMIUM || onPath(),
    ignoreDefaultArgs: keepsPages ? ['--disable-back-forward-cache'] : [],
    // Chromium refuses its sandbox to root.
    chromiumSandbox: process.getuid?.() !== 0,
    args: [
      '--host-resolver-rules=MAP *.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost',
      // Text is drawn the same everywhere, or screenshots change for nothing.
      '--font-render-hinting=none',
      '--disable-lcd-text',
    ],
  });
}

function onPath() {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const place = NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find((it) => existsSync(it));
  if (place) return place;
  throw new Error('no Chromium: apt-get install chromium, or name one in CLAVIGER_E2E_CHROMIUM');
}

export const WIDTHS = { phone: { width: 390, height: 844 }, wide: { width: 1440, height: 900 } };

/** Every way in which a page is looked at: `{name, width, colorScheme, hasScripts}`. */
export const VIEWS = ['phone', 'wide'].flatMap((width) =>
  ['light', 'dark'].flatMap((colorScheme) =>
    [true, false].map((hasScripts) => ({
      name: `${width === 'phone' ? 390 : 1440} px, ${colorScheme}${hasScripts ? '' : ', without scripts'}`,
      width,
      colorScheme,
      hasScripts,
    }))));

/** The views in which scripts run. */
export const SCRIPTED_VIEWS = VIEWS.filter((view) => view.hasScripts);

/**
 * A fresh context: nobody is signed in unless `storageState` is that of somebody who is.
 * `width` is a name of `WIDTHS`.
 */
export async function newContext(browser, { width = 'wide', colorScheme = 'light', hasScripts = true, ...more } = {}) {
  const context = await browser.newContext({
    viewport: WIDTHS[width],
    colorScheme,
    javaScriptEnabled: hasScripts,
    // What moves is not what tests are about, and axe cannot judge a colour that is on its way.
    reducedMotion: 'reduce',
    locale: 'en-GB',
    timezoneId: 'UTC',
    ...more,
  });
  context.setDefaultTimeout(STEP_MS_MAX);
  return context;
}
