// Somebody who is signed in. A sign-in is done once; what came of it, cookies and all, is given to the
// contexts that need it, also to those in which scripts do not run.

import { newContext } from './browser.mjs';
import { ADMIN_TOKEN } from './server.mjs';

/** Whoever has signed in is no longer on these pages. */
const IS_INSIDE = (url) => url.pathname.startsWith('/canvas') && !/^\/canvas\/(link|sign-in)/.test(url.pathname);

/** Signs in by a one-time link; gives the `storageState` of the local admin. */
export function byLink(browser, server) {
  return signedIn(browser, async (page) => {
    await page.goto(await server.loginLink());
    await goOn(page);
  });
}

/** Signs in with `ADMIN_TOKEN`. */
export function byAdminToken(browser, server) {
  return signedIn(browser, async (page) => {
    await page.goto(`${server.url}/canvas/sign-in`);
    await page.getByLabel('ADMIN_TOKEN').fill(ADMIN_TOKEN);
    await goOn(page);
  });
}

/** Signs in at the identity provider, as one of its accounts. */
export function byProvider(browser, server, login) {
  return signedIn(browser, async (page) => {
    await page.goto(`${server.url}/canvas/sign-in`);
    await page.getByRole('link', { name: /sign in|continue/i }).or(page.getByRole('button', { name: /sign in|continue/i })).first().click();
    await atProvider(page, login);
  });
}

/** Fills the form of the provider, where the page stands at it. */
export async function atProvider(page, login) {
  await page.getByRole('textbox', { name: 'Login' }).fill(login);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

/** A page that leads in by itself needs no click. */
async function goOn(page) {
  const button = page.getByRole('button', { name: /sign in|continue/i });
  const inside = page.waitForURL(IS_INSIDE).then(() => 'inside', () => 'not inside');
  const seen = button.first().waitFor().then(() => 'a button', () => 'no button');
  if ((await Promise.race([inside, seen])) === 'a button') await button.first().click({ noWaitAfter: true });
}

async function signedIn(browser, act) {
  const context = await newContext(browser);
  try {
    const page = await context.newPage();
    await act(page);
    await page.waitForURL(IS_INSIDE);
    return await context.storageState();
  } finally {
    await context.close();
  }
}
