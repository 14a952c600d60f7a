// Somebody who is signed in. A sign-in is done once; what came of it, cookies and all, is given to the
// contexts that need it, also to those in which scripts do not run.

import { newContext } from './browser.mjs';
import { ADMIN_TOKEN } from './server.mjs';

/** Whoever has signed in is no longer on these pages. */
const IS_INSIDE = (url) => url.pathname.startsWith('/canvas') && !/^\/canvas\/(link|sign-in)/.test(url.pathname);

/** Signs in by a one-time link, which scripts send off by themselves; gives the `storageState`. */
export function byLink(browser, server) {
  return signedIn(browser, async (page) => {
    await page.goto(await server.loginLink());
  });
}

/** The same without scripts: what stands behind `#` is typed in. */
export function byLinkTyped(browser, server) {
  return signedIn(browser, async (page) => {
    const link = new URL(await server.loginLink());
    await page.goto(link.origin + link.pathname);
    await page.getByRole('textbox').or(page.locator('input[type=password]')).first().fill(link.hash.slice(1));
    await page.getByRole('button', { name: 'Sign in' }).click();
  }, { hasScripts: false });
}

/** Signs in with `ADMIN_TOKEN`. */
export function byAdminToken(browser, server, view) {
  return signedIn(browser, async (page) => {
    await page.goto(`${server.url}/canvas/sign-in`);
    await page.getByLabel('ADMIN_TOKEN').fill(ADMIN_TOKEN);
    await page.getByRole('button', { name: 'Sign in' }).click();
  }, view);
}

/** Signs in at the identity provider, as one of its accounts. */
export function byProvider(browser, server, login, view) {
  return signedIn(browser, async (page) => {
    await page.goto(`${server.url}/canvas/sign-in`);
    await page.getByRole('link', { name: /^Continue with / }).click();
    await atProvider(page, login);
  }, view);
}

/** Fills the form of the provider, where the page stands at it. */
export async function atProvider(page, login) {
  await page.getByRole('textbox', { name: 'Login' }).fill(login);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

async function signedIn(browser, act, view = {}) {
  const context = await newContext(browser, view);
  try {
    const page = await context.newPage();
    await act(page);
    await page.waitForURL(IS_INSIDE);
    return await context.storageState();
  } finally {
    await context.close();
  }
}
