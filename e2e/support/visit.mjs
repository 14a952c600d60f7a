// A visit to a page, with all that must hold on any page of the Canvas.

import { expectAccessible } from './accessibility.mjs';
import { newContext } from './browser.mjs';
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
