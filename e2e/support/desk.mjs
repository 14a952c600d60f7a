// A desk in the Canvas: a browser, a server with keys of every kind, and an admin who is signed in.

import { newContext, startBrowser } from './browser.mjs';
import { furnishOrg } from './org.mjs';
import { byAdminToken } from './people.mjs';
import { startServer } from './server.mjs';
import { watch } from './watch.mjs';

/**
 * Starts it. `furnish` makes what the org has, `signIn` somebody's `storageState`; `server` are options of
 * `startServer`, `keepsPages` is what `startBrowser` means by it.
 */
export async function startDesk({ furnish = furnishOrg, signIn = byAdminToken, server: options, keepsPages } = {}) {
  const [browser, server] = await Promise.all([startBrowser({ keepsPages }), startServer({ adminToken: true, ...options })]);
  try {
    await server.firstKey();
    const org = await furnish(server);
    return new Desk({ browser, server, org, storageState: await signIn(browser, server) });
  } catch (error) {
    await Promise.allSettled([browser.close(), server.stop()]);
    throw error;
  }
}

class Desk {
  constructor(parts) { Object.assign(this, parts); }

  /**
   * Opens a page of the Canvas as the admin, and lets `use(page, {context, watched})` act on it. It fails
   * if a script throws, an answer fails, or the policy of a page is breached, but for `except`.
   * `storageState` is that of somebody else.
   */
  async at(path, use, { view = {}, except = [], storageState = this.storageState, permissions } = {}) {
    const context = await newContext(this.browser, { ...view, storageState, permissions });
    try {
      const page = await context.newPage();
      const watched = await watch(page);
      await page.goto(this.server.url + path);
      await use(page, { context, watched });
      watched.expectNone({ except });
    } finally {
      await context.close();
    }
  }

  /** Mints a key beside the Canvas; the whole answer, with `auth_token`. */
  mint(name, more = {}) {
    return this.server.api('POST', '/org/tokens', { name, ...more });
  }

  /** A key as the API shows it. */
  key(id) { return this.server.api('GET', `/org/tokens/${id}`); }

  /** What a key is answered: `{status, body}`. */
  call(token, path = '/org/whoami', method = 'GET') {
    return this.server.ask(method, path, undefined, { token });
  }

  async stop() {
    await this.browser.close();
    await this.server.stop();
  }
}

/** Waits until it is seen; gives it. */
export async function seen(locator) {
  await locator.waitFor({ state: 'visible' });
  return locator;
}

/** Waits until it is seen no more. */
export const gone = (locator) => locator.waitFor({ state: 'hidden' });

/** Back, also to a page that a browser would have to ask for again by sending a form. */
export async function back(page) {
  const moved = page.waitForEvent('framenavigated');
  await page.goBack({ waitUntil: 'commit' }).catch(() => {});
  await moved;
}
