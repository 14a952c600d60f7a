// The provider in the browser, with a client that is as small as one can be: what the sign-in of the
// Canvas will walk through.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, describe, it } from 'node:test';

import { newContext, startBrowser } from '../support/browser.mjs';
import { atProvider } from '../support/people.mjs';
import { startProvider } from '../support/provider.mjs';

describe('people at the provider', () => {
  let browser;
  let provider;
  let client;
  let home;

  before(async () => {
    // Another site than the client, as a provider is.
    [browser, provider] = await Promise.all([startBrowser(), startProvider(['--host', 'localhost'])]);
    client = createServer((request, response) => {
      response.setHeader('content-type', 'text/html');
      if (request.url === '/') {
        response.setHeader('set-cookie', 'before=1; HttpOnly; SameSite=Lax; Path=/');
        response.end('<!doctype html><title>Client</title>');
      } else {
        response.end(`<!doctype html><title>Back</title><p>${request.headers.cookie ?? 'no cookie'}`);
      }
    });
    await new Promise((done) => client.listen(0, '127.0.0.1', done));
    home = `http://127.0.0.1:${client.address().port}`;
    await provider.serves(home, { callback: '/back', afterSignOut: '/bye' });
  });
  after(async () => {
    await browser?.close();
    client?.closeAllConnections();
    client?.close();
    await provider?.stop();
  });

  const authorize = () => `${provider.issuer}/auth?${new URLSearchParams({
    client_id: provider.client_id,
    redirect_uri: `${home}/back`,
    response_type: 'code',
    scope: 'openid',
    state: 'state-1',
    code_challenge: createHash('sha256').update(randomBytes(32).toString('base64url')).digest('base64url'),
    code_challenge_method: 'S256',
  })}`;

  for (const hasScripts of [true, false]) {
    it(`sign in, stay signed in, and sign out${hasScripts ? '' : ', without scripts'}`, async () => {
      const context = await newContext(browser, { hasScripts });
      const page = await context.newPage();
      await page.goto(home);
      await page.goto(authorize());
      await atProvider(page, 'nobody at all');
      await page.getByText('nobody of this name is known').waitFor();
      await atProvider(page, 'editor');
      await page.waitForURL(`${home}/back?*`);
      const { searchParams } = new URL(page.url());
      assert.equal(searchParams.get('state'), 'state-1');
      assert.equal(searchParams.get('iss'), provider.issuer);
      assert.equal(await page.getByText('before=1').count(), 1, 'a Lax cookie comes back from another site');

      await page.goto(authorize());
      await page.waitForURL(`${home}/back?*`);

      const signOut = new URLSearchParams({ client_id: provider.client_id, post_logout_redirect_uri: `${home}/bye` });
      await page.goto(`${provider.issuer}/session/end?${signOut}`);
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.waitForURL(`${home}/bye`);
      await page.goto(authorize());
      await page.getByRole('textbox', { name: 'Login' }).waitFor();
      await context.close();
    });
  }

  it('change their mind', async () => {
    const context = await newContext(browser);
    const page = await context.newPage();
    await page.goto(authorize());
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.waitForURL(`${home}/back?*`);
    assert.equal(new URL(page.url()).searchParams.get('error'), 'access_denied');
    await context.close();
  });
});
