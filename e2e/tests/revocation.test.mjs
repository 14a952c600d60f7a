// A key stops: suspended for a while, or revoked for good with all that it minted.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { gone, seen, startDesk } from '../support/desk.mjs';
import { expectWellMade } from '../support/visit.mjs';

const REVOKED = 'Revoked. Every request with it is refused from now on.';

describe('stopping a key in the Canvas', () => {
  let desk;

  before(async () => { desk = await startDesk({ furnish: async () => ({}) }); });
  after(() => desk?.stop());

  const at = (key, rest = '') => `/canvas/keys/${key.id}${rest}`;
  const codeOf = async (token) => (await desk.call(token)).body.code;

  /** A key, one that it minted, and one that that one minted. */
  async function line(name) {
    const mint = (name, token) => desk.server.api('POST', '/org/tokens', { name }, { token });
    const top = await desk.mint(name);
    const child = await mint(`${name}-child`, top.auth_token);
    const grandchild = await mint(`${name}-grandchild`, child.auth_token);
    return { top, child, grandchild };
  }

  it('revokes with the name typed, and everything below dies with it', async () => {
    const { top, child, grandchild } = await line('doomed');
    for (let call = 0; call < 3; call += 1) await desk.call(child.auth_token);
    await desk.at(at(top), async (page) => {
      await page.getByRole('link', { name: 'Revoke' }).click();
      const dialog = await seen(page.getByRole('dialog', { name: 'Revoke doomed?' }));
      await seen(dialog.getByText('These die with it'));
      await expectWellMade(page);
      await seen(dialog.getByRole('link', { name: 'doomed-grandchild' }));
      await seen(dialog.getByText(/^[4-9] calls since /));
      await dialog.getByRole('textbox', { name: /^Reason/ }).fill('found in a public log');
      await dialog.getByRole('textbox', { name: 'Type the name of the key to confirm' }).fill('doomed');
      assert.equal((await desk.call(top.auth_token)).status, 200, 'a question changes nothing');
      await dialog.getByRole('button', { name: 'Revoke' }).click();
      await seen(page.getByText(REVOKED));
      // The next request with any of them is refused.
      for (const { auth_token } of [top, child, grandchild]) {
        const { status, body } = await desk.call(auth_token);
        assert.deepEqual([status, body.code], [401, 'token_revoked']);
      }
      await seen(page.getByText(/Revoked just now by .* Reason: found in a public log/));
      assert.equal(await page.getByRole('link', { name: 'Revoke' }).count(), 0);
      await page.getByRole('link', { name: 'doomed-child' }).click();
      await seen(page.getByRole('heading', { level: 1, name: /^doomed-child\s+Revoked$/ }));
    });
  });

  it('wants the name letter by letter, and keeps what was typed', async () => {
    const key = await desk.mint('Precise');
    await desk.at(at(key), async (page) => {
      await page.getByRole('link', { name: 'Revoke' }).click();
      const dialog = await seen(page.getByRole('dialog', { name: 'Revoke Precise?' }));
      await dialog.getByRole('textbox', { name: /^Reason/ }).fill('a good one');
      await dialog.getByRole('textbox', { name: /^Type the name/ }).fill('precise');
      await dialog.getByRole('button', { name: 'Revoke' }).click();
      await seen(page.getByText('must be the name of the key, letter by letter', { exact: false }));
      assert.equal(await codeOf(key.auth_token), undefined);
      assert.equal(await page.getByRole('textbox', { name: /^Reason/ }).inputValue(), 'a good one');
      await page.getByRole('textbox', { name: /^Type the name/ }).fill('Precise');
      await page.getByRole('button', { name: 'Revoke' }).click();
      await seen(page.getByText(REVOKED));
      assert.equal(await codeOf(key.auth_token), 'token_revoked');
    }, { except: [/422/] });
  });

  it('lets what is below live, where that is asked for', async () => {
    const { top, child, grandchild } = await line('parent');
    await desk.at(at(top, '/revoke'), async (page) => {
      await page.getByRole('radio', { name: /^Let them live/ }).check();
      await page.getByRole('textbox', { name: /^Type the name/ }).fill('parent');
      await page.getByRole('button', { name: 'Revoke' }).click();
      await seen(page.getByText(REVOKED));
    });
    assert.equal(await codeOf(top.auth_token), 'token_revoked');
    assert.equal(await codeOf(child.auth_token), undefined);
    assert.equal(await codeOf(grandchild.auth_token), undefined);
  });

  it('revokes without scripts', async () => {
    const key = await desk.mint('plain-end');
    await desk.at(at(key), async (page) => {
      await page.getByRole('link', { name: 'Revoke' }).click();
      await seen(page.getByRole('heading', { level: 1, name: 'Revoke plain-end?' }));
      await page.getByRole('textbox', { name: /^Type the name/ }).fill('plain-end');
      await page.getByRole('button', { name: 'Revoke' }).click();
      await seen(page.getByText(REVOKED));
    }, { view: { hasScripts: false } });
    assert.equal(await codeOf(key.auth_token), 'token_revoked');
  });

  it('suspends, and resumes as it was', async () => {
    const { top, child } = await line('paused');
    await desk.at(at(top), async (page) => {
      await page.getByRole('link', { name: 'Suspend' }).click();
      const dialog = await seen(page.getByRole('dialog', { name: 'Suspend paused?' }));
      await seen(dialog.getByText('These stop with it'));
      await expectWellMade(page);
      await dialog.getByRole('textbox', { name: /^Reason/ }).fill('who uses it?');
      await dialog.getByRole('button', { name: 'Suspend' }).click();
      await seen(page.getByText('Suspended. It is refused until somebody resumes it.'));
      await seen(page.getByText(/Suspended just now by .* Reason: who uses it\?/));
      assert.equal(await codeOf(top.auth_token), 'token_suspended');
      assert.equal((await desk.call(child.auth_token)).status, 401);
      await page.getByRole('link', { name: 'Resume' }).click();
      const question = await seen(page.getByRole('dialog', { name: 'Resume paused?' }));
      await question.getByRole('button', { name: 'Resume' }).click();
      await seen(page.getByText('Resumed. It is accepted again.'));
      await gone(page.getByText(/Suspended just now/));
      assert.equal(await codeOf(top.auth_token), undefined);
      assert.equal(await codeOf(child.auth_token), undefined);
    });
  });
});
