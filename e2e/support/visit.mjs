// A visit to a page, with all that must hold on any page of the Canvas.

import { expectAccessible } from './accessibility.mjs';
import { newContext, WIDTHS } from './browser.mjs';
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
 * Visits many pages: at both widths unless `widths` says otherwise, and light and dark. `pages` are paths,
 * or `[path, how]` with what `visit` is told of `except`, `rules` and `use`. One window sees them all, and
 * each is loaded once, then turned dark: another scheme changes colours and nothing else. With
 * `CLAVIGER_E2E_PICTURES` a picture of each page is kept in that folder, to be looked at.
 */
export async function tour(browser, server, pages, { widths = Object.keys(WIDTHS), hasScripts = true, storageState } = {}) {
  for (const width of widths) {
    const context = await newContext(browser, { width, hasScripts, storageState });
    try {
      const page = await context.newPage();
      const watched = await watch(page);
      const transfer = await countTransfer(page);
      for (const [path, how = {}] of pages.map((it) => [it].flat())) {
        await page.emulateMedia({ colorScheme: 'light' });
        watched.forget();
        transfer.forget();
        await page.goto(server.url + path);
        await transfer.expectSmall();
        await see(page, { ...how, hasScripts, context, watched });
      }
    } catch (error) {
      error.message = `at ${WIDTHS[width].width} px: ${error.message}`;
      throw error;
    } finally {
      await context.close();
    }
  }
}

/** A page of a tour, once it is there. */
async function see(page, { use = async () => {}, except = [], rules = {}, hasScripts, context, watched }) {
  if (hasScripts) await expectNoShift(page);
  await use(page, { watched, context });
  await expectNoSidewaysScroll(page);
  await expectAccessibleInBothSchemes(page, { except: rules });
  watched.expectNone({ except });
}

/** The page as it stands, light and then dark; it is light again afterwards. */
export async function expectAccessibleInBothSchemes(page, { except } = {}) {
  await keepPicture(page, 'light');
  await expectAccessible(page, { except });
  await page.emulateMedia({ colorScheme: 'dark' });
  await keepPicture(page, 'dark');
  await expectAccessible(page, { except, ofColour: true }).catch((error) => {
    error.message = `in the dark: ${error.message}`;
    throw error;
  });
  await page.emulateMedia({ colorScheme: 'light' });
}

/** What must hold on any page, for one that no address leads to: the answer to a form, at both widths. */
export async function expectWellMade(page) {
  const before = page.viewportSize();
  for (const size of Object.values(WIDTHS)) {
    await page.setViewportSize(size);
    await expectNoSidewaysScroll(page);
    await expectAccessibleInBothSchemes(page);
  }
  await page.setViewportSize(before);
}

async function keepPicture(page, scheme) {
  const folder = process.env.CLAVIGER_E2E_PICTURES;
  if (!folder) return;
  const words = `${new URL(page.url()).pathname} ${page.viewportSize().width} ${scheme}`.replaceAll(/[^0-9A-Za-z]+/g, '-');
  await page.screenshot({ path: `${folder}/${words}.png`, fullPage: true });
}
