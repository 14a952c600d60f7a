// What makes an org safer: the security page and its remedies, the policy, requests for keys.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { gone, seen, startDesk } from '../support/desk.mjs';
import { ADMIN_TOKEN } from '../support/server.mjs';
import { expectWellMade } from '../support/visit.mjs';

describe('oversight in the Canvas', () => {
  let desk;

  before(async () => { desk = await startDesk(); });
  after(() => desk?.stop());

  const row = (page, name) => page.getByRole('row').filter({ has: page.getByRole('link', { name, exact: true }) });
  const card = (page, name) => page.getByRole('main').getByRole('link', { name: new RegExp(`^${name}`) }).first();
  const codeOf = async (name) => (await desk.call(desk.org.keys[name].auth_token)).body.code;

  describe('the security page', () => {
    it('has cards that are filters', () => desk.at('/canvas/security', async (page) => {
      await seen(page.getByText('Looked at', { exact: false }));
      for (const name of ['No expiry', 'Never used', 'Idle 90 days', 'Over-broad', 'Maker left', 'ADMIN_TOKEN', 'Workspace tokens']) {
        await seen(card(page, name));
      }
      await card(page, 'No expiry').click();
      await page.waitForURL(/show=no_expiry/);
      assert.equal(await card(page, 'No expiry').getAttribute('aria-current'), 'true');
      await seen(row(page, 'chat-agent'));
      assert.equal(await row(page, 'ci-deploy').count(), 0, 'it has an end');
      await card(page, 'ADMIN_TOKEN').click();
      await page.waitForURL(/show=admin_token/);
      await seen(page.getByRole('row').filter({ hasText: '/org/tokens' }).first());
      await card(page, 'Workspace tokens').click();
      await seen(page.getByText(/^From .* on, workspace tokens are refused\.$/));
      await card(page, 'Idle').click();
      await seen(page.getByText('Nothing to do'));
      await card(page, 'Idle').click();
      await page.waitForURL((url) => url.search === '');
    }));

    it('leads from a workspace token to an org key in its place', async () => {
      await desk.server.api('POST', `/workspaces/${desk.org.workspaces.support}/tokens`, {});
      await desk.at('/canvas/security?show=workspace_tokens', async (page) => {
        await seen(page.getByRole('row').filter({ hasText: 'support' }));
        await page.getByRole('link', { name: 'Replace by an org key' }).click();
        await page.waitForURL(/\/tokens\/.*\/replace/);
        await seen(page.getByRole('heading', { level: 1 }));
      });
    });

    it('sets an end in two clicks', () => desk.at('/canvas/security?show=no_expiry', async (page) => {
      await page.getByRole('link', { name: 'Set an end for chat-agent' }).click();
      const dialog = await seen(page.getByRole('dialog'));
      await dialog.getByRole('radio', { name: 'In 30 days' }).check();
      await dialog.getByRole('button', { name: 'Set the end' }).click();
      await seen(page.getByText('It ends by itself now.'));
      const { expires_at } = await desk.key(desk.org.keys['chat-agent'].id);
      const days = (new Date(expires_at) - Date.now()) / 86_400_000;
      assert.ok(days > 29.9 && days <= 30, `${days} days`);
    }));

    it('narrows a key to what it uses', async () => {
      const { id, auth_token } = desk.org.keys['nightly-report'];
      await desk.at(`/canvas/security/${id}/narrow`, async (page) => {
        await seen(page.getByText('By what it used in the last 30 days, this would be enough:'));
        await page.getByRole('button', { name: 'Narrow it' }).click();
        await seen(page.getByText('Narrowed. It may do what it uses, and no more, from now on.'));
      });
      const { grant } = await desk.key(id);
      assert.ok(!grant.permissions.includes('channels:send'), grant.permissions);
      const values = `/workspaces/${desk.org.workspaces.billing}/secrets/values`;
      assert.equal((await desk.call(auth_token, values)).status, 200, 'what it used works on');
    });

    it('suspends and revokes', async () => {
      for (const [name, code] of [['suspend-me', 'token_suspended'], ['revoke-me', 'token_revoked']]) {
        desk.org.keys[name] = await desk.mint(name);
        const verb = code === 'token_suspended' ? 'suspend' : 'revoke';
        await desk.at(`/canvas/security/${desk.org.keys[name].id}/${verb}`, async (page) => {
          await page.getByRole('textbox', { name: /^Reason/ }).fill('reviewed');
          if (verb === 'revoke') await page.getByRole('textbox', { name: 'Type the name of the key to confirm' }).fill(name);
          await page.getByRole('button', { name: /^(Suspend|Revoke)$/ }).click();
          await seen(page.getByText(/^(Suspended|Revoked)\. /));
        }, { view: { hasScripts: false } });
        assert.equal(await codeOf(name), code);
      }
    });
  });

  describe('the policy', () => {
    // The first key has no end: a policy stops it as it stops others.
    const set = (policy) => desk.server.api('PUT', '/org/policy', policy, { token: ADMIN_TOKEN });

    after(() => set({}));

    for (const hasScripts of [true, false]) {
      it(`says whom it would stop before it does${hasScripts ? '' : ', without scripts'}`, () => desk.at('/canvas/policy', async (page) => {
        const forever = await desk.mint(`forever-${hasScripts}`);
        await page.getByRole('checkbox', { name: /^Every key must have an end/ }).check();
        await page.getByRole('button', { name: 'Preview' }).click();
        const preview = await seen(page.getByRole('region', { name: 'What this policy would do' }));
        await seen(preview.getByText(/^\d+ keys? blocked$/).first());
        await seen(preview.getByRole('link', { name: `forever-${hasScripts}` }));
        if (hasScripts) await expectWellMade(page);
        assert.equal((await desk.call(forever.auth_token)).status, 200, 'a preview changes nothing');
        await preview.getByRole('button', { name: 'Apply this policy' }).click();
        await seen(page.getByText('The policy is in force.'));
        assert.ok(await page.getByRole('checkbox', { name: /^Every key must have an end/ }).isChecked());
        assert.notEqual((await desk.call(forever.auth_token)).status, 200);
        await set({});
        assert.equal((await desk.call(forever.auth_token)).status, 200);
      }, { view: { hasScripts } }));
    }

    it('says what is wrong at the field, and keeps what was typed', () => desk.at('/canvas/policy', async (page) => {
      const longest = page.getByRole('textbox', { name: 'Longest life' });
      await longest.fill('for long');
      await page.getByRole('textbox', { name: 'Required metadata' }).fill('team');
      await page.getByRole('button', { name: 'Preview' }).click();
      await page.getByRole('textbox', { name: 'Longest life' }).and(page.locator('[aria-invalid=true]')).waitFor();
      assert.equal(await longest.inputValue(), 'for long');
      assert.equal(await page.getByRole('textbox', { name: 'Required metadata' }).inputValue(), 'team');
    }, { except: [/422/, /400/] }));

    it('does not overwrite what somebody else has set meanwhile', () => desk.at('/canvas/policy', async (page) => {
      await page.getByRole('textbox', { name: 'Living keys of the org, at most' }).fill('500');
      await page.getByRole('button', { name: 'Preview' }).click();
      await seen(page.getByText(/It holds for what is minted from then on\./));
      await set({ keys_max: 400 });
      await page.getByRole('button', { name: 'Apply this policy' }).click();
      await seen(page.getByText(/Somebody has changed the policy since/i));
      assert.equal((await desk.server.api('GET', '/org/policy')).keys_max, 400);
      await set({});
    }, { except: [/409/] }));
  });

  describe('requests', () => {
    const ask = (name, more = {}) => desk.server.api('POST', '/org/requests',
      { name, permissions: ['secrets:read', 'secrets:reveal'], justification: `${name} needs it`, ...more },
      { token: desk.org.keys['ci-deploy'].auth_token });
    const collect = (id) => desk.server.ask('POST', `/org/requests/${id}/collect`, {},
      { token: desk.org.keys['ci-deploy'].auth_token });
    const open = async (page, name) => {
      await row(page, name).getByRole('link', { name }).click();
      await seen(page.getByRole('heading', { level: 1, name: new RegExp(`^${name}`) }));
    };

    it('approves what was asked for', async () => {
      const { id } = await ask('as-asked');
      assert.equal((await collect(id)).status, 409, 'nobody has decided');
      await desk.at('/canvas/requests', async (page) => {
        await seen(page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: /^Requests.*1$/ }));
        await open(page, 'as-asked');
        await seen(page.getByText('as-asked needs it'));
        await seen(page.getByText('read the values of secrets'));
        await page.getByRole('textbox', { name: /^Note/ }).first().fill('go ahead');
        await page.getByRole('button', { name: 'Approve' }).click();
        await seen(page.getByText('Approved. Whoever asked can collect the key within 24 hours.'));
      });
      const { status, body } = await collect(id);
      assert.equal(status, 201);
      assert.equal((await desk.call(body.auth_token)).status, 200);
    });

    it('approves less than was asked for', async () => {
      const { id } = await ask('less', { expires_in: '30d', workspaces: [desk.org.workspaces.billing, desk.org.workspaces.support] });
      await desk.at('/canvas/requests', async (page) => {
        await open(page, 'less');
        await page.getByText('Narrow it first').click();
        await page.getByRole('checkbox', { name: 'secrets:reveal' }).uncheck();
        await page.getByRole('checkbox', { name: 'support' }).uncheck();
        await page.getByRole('textbox', { name: /^Lives for/ }).fill('7d');
        await page.getByRole('button', { name: 'Approve' }).click();
        await seen(page.getByText(/^Approved\./));
      });
      const { body } = await collect(id);
      const said = (await desk.call(body.auth_token)).body;
      assert.deepEqual(said.grant.permissions, ['secrets:read']);
      assert.deepEqual(said.grant.workspaces, [desk.org.workspaces.billing]);
      await desk.at(`/canvas/requests/${id}`, (page) => seen(page.getByText('What was approved of it')));
    });

    it('keeps what was typed when it cannot be approved so', async () => {
      const { id } = await ask('wrongly');
      await desk.at(`/canvas/requests/${id}`, async (page) => {
        await page.getByText('Narrow it first').click();
        await page.getByRole('textbox', { name: 'Only from these addresses' }).fill('nowhere');
        await page.getByRole('button', { name: 'Approve' }).click();
        const field = page.getByRole('textbox', { name: 'Only from these addresses' }).and(page.locator('[aria-invalid=true]'));
        await seen(field);
        assert.equal(await field.inputValue(), 'nowhere');
      }, { except: [/422/, /400/] });
      assert.equal((await collect(id)).status, 409);
    });

    it('denies, with a note that whoever asked reads', async () => {
      const { id } = await ask('too-much');
      await desk.at(`/canvas/requests/${id}`, async (page) => {
        const form = page.getByRole('main').locator('form').filter({ has: page.getByRole('button', { name: 'Deny' }) });
        await form.getByRole('textbox', { name: /^Note/ }).fill('ask the owner of billing');
        await form.getByRole('button', { name: 'Deny' }).click();
        await seen(page.getByText('Denied.'));
        await gone(row(page, 'too-much'));
      }, { view: { hasScripts: false } });
      const { body } = await desk.server.ask('GET', `/org/requests/${id}`, undefined,
        { token: desk.org.keys['ci-deploy'].auth_token });
      assert.deepEqual([body.status, body.decision_note], ['denied', 'ask the owner of billing']);
      assert.equal((await collect(id)).status, 409);
    });
  });
});
