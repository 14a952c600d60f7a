// A key gets another secret, and the old one ends as it was said.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { back, seen, startDesk } from '../support/desk.mjs';
import { expectWellMade } from '../support/visit.mjs';

const SECRET = /mole_[0-9A-Za-z]{49}/;

describe('rotating in the Canvas', () => {
  let desk;

  before(async () => { desk = await startDesk({ furnish: async () => ({}), keepsPages: true }); });
  after(() => desk?.stop());

  const at = (key, rest = '') => `/canvas/keys/${key.id}${rest}`;
  const works = async (token) => (await desk.call(token)).status === 200;
  const overlaps = (key, body) => desk.server.api('POST', `/org/tokens/${key.id}/rotate`, body);

  /** Rotates on the page of the key; gives the new secret. */
  async function rotate(page, choice) {
    await page.getByRole('link', { name: 'Rotate' }).click();
    await page.getByRole('radio', { name: choice }).check();
    await page.getByRole('button', { name: 'Rotate' }).click();
    await seen(page.getByRole('heading', { level: 1, name: 'Save the new secret' }));
    const [secret] = (await page.locator('main').innerText()).match(SECRET);
    return secret;
  }

  async function done(page, key) {
    await page.getByRole('checkbox', { name: 'I have saved the secret' }).check();
    await page.getByRole('button', { name: 'Done' }).click();
    await seen(page.getByRole('heading', { level: 1, name: key.name }));
  }

  for (const hasScripts of [true, false]) {
    it(`overlaps, is watched, and is finished${hasScripts ? '' : ', without scripts'}`, async () => {
      const key = await desk.mint(`finished-${hasScripts}`);
      await desk.call(key.auth_token);
      await desk.at(at(key), async (page) => {
        const secret = await rotate(page, /^24 hours/);
        assert.notEqual(secret, key.auth_token);
        await seen(page.getByText(`The old secret, ${key.prefix}, works on`, { exact: false }));
        assert.deepEqual([await works(secret), await works(key.auth_token)], [true, true]);
        await done(page, key);
        await seen(page.getByText('A rotation is under way'));
        await seen(page.getByText(/Old secret last seen (just now|\d+ min ago) from 127\.0\.0\.1/));
        await page.getByRole('link', { name: 'Finish or cancel' }).click();
        await page.getByRole('button', { name: /^Finish/ }).click();
        await seen(page.getByText('The rotation is over. The old secret is refused from now on.'));
        assert.deepEqual([await works(secret), await works(key.auth_token)], [true, false]);
        const { body } = await desk.call(key.auth_token);
        assert.equal(body.code, 'token_rotated_out');
      }, { view: { hasScripts } });
    });
  }

  it('is cancelled: the new secret is refused, and the old one is the key again', async () => {
    const key = await desk.mint('cancelled');
    await desk.at(at(key), async (page) => {
      const secret = await rotate(page, /^7 days/);
      await done(page, key);
      await page.getByRole('link', { name: 'Finish or cancel' }).click();
      await page.getByRole('button', { name: /^Cancel/ }).click();
      await seen(page.getByText('The rotation is undone. The new secret is refused from now on.'));
      assert.deepEqual([await works(secret), await works(key.auth_token)], [false, true]);
      await seen(page.getByText(key.prefix, { exact: true }).first());
    });
  });

  it('ends the old secret at once, where it leaked', async () => {
    const key = await desk.mint('leaked');
    await desk.at(at(key), async (page) => {
      const secret = await rotate(page, /^Now/);
      await seen(page.getByText(`The old secret, ${key.prefix}, is refused from now on.`));
      await expectWellMade(page);
      assert.deepEqual([await works(secret), await works(key.auth_token)], [true, false]);
      await page.getByRole('checkbox', { name: 'I have saved the secret' }).check();
    });
  });

  it('says how the old secret ends, and warns while nobody uses the new one', async () => {
    const key = await desk.mint('first-use');
    await overlaps(key, { on_first_use: true, overlap: '1h' });
    await desk.at(at(key, '/rotate'), async (page) => {
      await seen(page.getByText('1h after the new secret is first used'));
      await seen(page.getByText('Nobody has used the new secret yet.', { exact: false }));
    });
  });

  it('does not replace the new secret when the form is sent again', async () => {
    const key = await desk.mint('sent-again');
    await desk.at(at(key), async (page) => {
      const secret = await rotate(page, /^1 hour/);
      await done(page, key);
      const form = { prefix: key.prefix, overlap: '1h' };
      const again = await page.request.post(`${desk.server.url}${at(key, '/rotate')}`,
        { form, headers: { 'sec-fetch-site': 'same-origin' } });
      assert.equal(again.status(), 409);
      assert.match(await again.text(), /the key was rotated since/i);
      assert.ok(await works(secret));
      await back(page);
      assert.ok(!(await page.content()).includes(secret), 'back does not bring it back');
    }, { except: [/ERR_CACHE_MISS/] });
  });
});
