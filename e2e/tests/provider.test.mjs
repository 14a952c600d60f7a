// The provider is what the other tests take it for: strict about PKCE and codes, rotating, breakable.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { createRemoteJWKSet, jwtVerify } from 'jose';

import { startProvider } from '../support/provider.mjs';

const CALLBACK = 'http://127.0.0.1:1/callback';

describe('the provider', () => {
  let provider;
  let endpoints;

  before(async () => {
    provider = await startProvider(['--redirect-uri', CALLBACK, '--audience', 'https://claviger.test']);
    endpoints = await (await fetch(`${provider.issuer}/.well-known/openid-configuration`)).json();
  });
  after(() => provider.stop());

  /** The authorization code flow as a client without a browser walks it. */
  async function authorize(login, { pkce = true } = {}) {
    const verifier = randomBytes(32).toString('base64url');
    const url = new URL(endpoints.authorization_endpoint);
    url.search = new URLSearchParams({
      client_id: provider.client_id,
      redirect_uri: CALLBACK,
      response_type: 'code',
      scope: 'openid profile email',
      state: 'state-1',
      nonce: 'nonce-1',
      login_hint: login,
      ...(pkce && {
        code_challenge: createHash('sha256').update(verifier).digest('base64url'),
        code_challenge_method: 'S256',
      }),
    });
    return { verifier, callback: await follow(url.href) };
  }

  /** Follows redirects with cookies, up to the one that leads to the client. */
  async function follow(from, jar = new Map()) {
    let url = from;
    for (let hop = 0; hop < 10; hop += 1) {
      const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
      const response = await fetch(url, { redirect: 'manual', headers: { cookie } });
      for (const line of response.headers.getSetCookie()) {
        const [name, value] = line.split(';', 1)[0].split('=', 2);
        jar.set(name, value);
      }
      assert.ok([302, 303].includes(response.status), `${url}: ${response.status} ${await response.text()}`);
      url = new URL(response.headers.get('location'), url).href;
      if (url.startsWith(CALLBACK)) return new URL(url).searchParams;
    }
    throw new Error('too many redirects');
  }

  async function token(parameters) {
    const basic = Buffer.from(`${provider.client_id}:${provider.client_secret}`).toString('base64');
    const response = await fetch(endpoints.token_endpoint, {
      method: 'POST',
      headers: { authorization: `Basic ${basic}` },
      body: new URLSearchParams(parameters),
    });
    return { status: response.status, ...(await response.json()) };
  }

  const exchange = ({ callback, verifier }) => token({
    grant_type: 'authorization_code', code: callback.get('code'), redirect_uri: CALLBACK, code_verifier: verifier,
  });
  const refresh = (refreshToken) => token({ grant_type: 'refresh_token', refresh_token: refreshToken });

  const keys = () => createRemoteJWKSet(new URL(endpoints.jwks_uri));
  const verify = (jwt, audience) => jwtVerify(jwt, keys(), { issuer: provider.issuer, audience });

  it('signs people in with their claims in the id token and in the access token', async () => {
    const tokens = await exchange(await authorize('editor'));
    assert.equal(tokens.status, 200);
    const { payload: id } = await verify(tokens.id_token, provider.client_id);
    assert.equal(id.sub, 'user_editor');
    assert.equal(id.nonce, 'nonce-1');
    assert.deepEqual([id.org, id.role, id.email, id.name], ['default', 'editor', 'editor@example.com', 'Edgar Editor']);
    const { payload: access, protectedHeader } = await verify(tokens.access_token, 'https://claviger.test');
    assert.equal(protectedHeader.typ, 'at+jwt');
    assert.deepEqual([access.sub, access.org, access.role], ['user_editor', 'default', 'editor']);
  });

  it('refuses a flow without PKCE, a replayed code and a wrong verifier', async () => {
    const { callback } = await authorize('admin', { pkce: false });
    assert.equal(callback.get('error'), 'invalid_request');
    const flow = await authorize('admin');
    assert.equal((await exchange({ ...flow, verifier: randomBytes(32).toString('base64url') })).error, 'invalid_grant');
    const second = await authorize('admin');
    assert.equal((await exchange(second)).status, 200);
    assert.equal((await exchange(second)).error, 'invalid_grant');
  });

  it('accepts a refresh token once, and ends the grant when it comes again', async () => {
    const first = await exchange(await authorize('reader'));
    const second = await refresh(first.refresh_token);
    assert.equal(second.status, 200);
    assert.notEqual(second.refresh_token, first.refresh_token);
    assert.equal((await refresh(first.refresh_token)).error, 'invalid_grant');
    assert.equal((await refresh(second.refresh_token)).error, 'invalid_grant', 'the family is ended');
  });

  it('lets a person change their mind', async () => {
    const { callback } = await authorize('cancel');
    assert.equal(callback.get('error'), 'access_denied');
  });

  it('rotates its keys, and keeps sessions and refresh tokens', async () => {
    const before = await exchange(await authorize('admin'));
    await provider.command('rotate-keys', { keep: true });
    await verify(before.id_token, provider.client_id);
    const after = await refresh(before.refresh_token);
    assert.equal(after.status, 200);
    await verify(after.id_token, provider.client_id);
    await provider.command('rotate-keys', { keep: false });
    await assert.rejects(verify(after.id_token, provider.client_id), /no applicable key/);
  });

  it('goes down and comes up again at the same port', async () => {
    await provider.command('down');
    await assert.rejects(fetch(endpoints.jwks_uri));
    await provider.command('up');
    assert.equal((await fetch(endpoints.jwks_uri)).status, 200);
  });

  it('falsifies what it is told to, as often as it is told to', async () => {
    await provider.command('tamper', { id_token: { claims: { iss: 'https://evil.test' } } });
    const forged = await exchange(await authorize('admin'));
    assert.equal((await provider.command('read', { token: forged.id_token })).claims.iss, 'https://evil.test');
    await verify((await exchange(await authorize('admin'))).id_token, provider.client_id);
    for (const key of ['foreign', 'foreign-same-kid', 'public-as-hmac', 'none']) {
      const { access_token: bad } = await provider.command('access-token', { login: 'admin', key });
      await assert.rejects(verify(bad, 'https://claviger.test'), undefined, key);
    }
    const { access_token: good } = await provider.command('access-token', { login: 'admin' });
    await verify(good, 'https://claviger.test');
  });

  it('holds requests back until they are let go', async () => {
    const { refresh_token: mine } = await exchange(await authorize('admin'));
    await provider.command('hold', { path: '/token' });
    const waiting = refresh(mine);
    await provider.command('held', { path: '/token' });
    await provider.command('release', { path: '/token' });
    assert.equal((await waiting).status, 200);
  });

  it('says over the back channel that a session has ended', async () => {
    const received = withResolvers();
    const listener = createServer(async (request, response) => {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      received.resolve(new URLSearchParams(Buffer.concat(chunks).toString()).get('logout_token'));
      response.writeHead(200).end();
    });
    await new Promise((done) => listener.listen(0, '127.0.0.1', done));
    const uri = `http://127.0.0.1:${listener.address().port}/logout`;
    await provider.command('client', { backchannelLogoutUri: uri });
    const tokens = await exchange(await authorize('nobody'));
    const { sid } = (await provider.command('read', { token: tokens.id_token })).claims;
    assert.deepEqual((await provider.command('end-session', { login: 'nobody' })).ended, [{ sid, told: true }]);
    const { payload } = await verify(await received.promise, provider.client_id);
    assert.equal(payload.sid, sid);
    assert.ok(payload.events['http://schemas.openid.net/event/backchannel-logout']);
    listener.close();
  });

  it('keeps a log of what was asked of it', async () => {
    await provider.command('log', { clear: true });
    await fetch(endpoints.jwks_uri);
    assert.deepEqual(await provider.command('log'), [{ method: 'GET', path: '/jwks', status: 200 }]);
  });
});

function withResolvers() {
  const it = {};
  it.promise = new Promise((resolve, reject) => Object.assign(it, { resolve, reject }));
  return it;
}
