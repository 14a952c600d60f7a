// A visit to a page, with all that must hold on any page of the Canvas.

import { expectAccessible } from './accessibility.mjs';
import { newContext, SCRIPTED_VIEWS } from './browser.mjs';
import { countTransfer, expectNoShift, expectNoSidewaysScroll } from './measure.mjs';
import { watch } from './watch.mjs';

/**
 * Opens `url` in a view and fails unless it is accessible, fits the window, holds still, is small, and
 * nothing goes wrong in it; `use(page, {watched, transfer})` looks before that, and may act.
 *
 * `storageState` is that of somebody who is signed in. `except` are patterns of problems that the visit
 * provokes (`/^answer: 403/`), `rules` are rules of axe that are left out, each with the reason.
 */
export async function visit(browser, url, { view = {}, storageState, except = [], rules = {}, use = async () => {} } = {}) {
  const context = await newContext(browser, { ...view, storageState });
  try {
    const page = await context.newPage();
    const watched = await watch(page);
    const transfer = await countTransfer(page);
    await page.goto(url);
    await transfer.expectSmall();
    if (view.hasScripts ?? true) await expectNoShift(page);
    await use(page, { watched, transfer, context });
    await expectAccessible(page, { except: rules });
    await expectNoSidewaysScroll(page);
    watched.expectNone({ except });
  } finally {
    await context.close();
  }
}

/**
 * Visits many pages, at both widths, light and dark. `pages` are paths, or `[path, how]` with what `visit`
 * is told of `except`, `rules` and `use`. One window sees them all, which is faster than one for each.
 * With `CLAVIGER_E2E_PICTURES` a picture of each page is kept in that folder, to be looked at.
 */
export async function tour(browser, server, pages, { views = SCRIPTED_VIEWS, storageState } = {}) {
  for (const view of views) {
    const context = await newContext(browser, { ...view, storageState });
    try {
      const page = await context.newPage();
      const watched = await watch(page);
      const transfer = await countTransfer(page);
      for (const [path, { except = [], rules = {}, use = async () => {} } = {}] of pages.map((it) => [it].flat())) {
        watched.forget();
        transfer.forget();
        await page.goto(server.url + path);
        await transfer.expectSmall();
        if (view.hasScripts) await expectNoShift(page);
        await use(page, { watched, context });
        await keepPicture(page, view);
        await expectAccessible(page, { except: rules });
        await expectNoSidewaysScroll(page);
        watched.expectNone({ except });
      }
    } catch (error) {
      error.message = `at ${view.name}: ${error.message}`;
      throw error;
    } finally {
      await context.close();
    }
  }
}

async function keepPicture(page, { name }) {
  const folder = process.env.CLAVIGER_E2E_PICTURES;
  if (!folder) return;
  const words = `${new URL(page.url()).pathname} ${name}`.replaceAll(/[^0-9A-Za-z]+/g, '-');
  await page.screenshot({ path: `${folder}/${words}.png`, fullPage: true });
}
