// The admin port: commands as `POST /<command>` with a JSON body, answered with JSON. `GET /` lists them.

import { createServer } from 'node:http';

import { newKeys, read } from './keys.mjs';

/** Each command: what it does, and the function. */
const COMMANDS = {
  client: [
    'Change the client: {redirectUris?, postLogoutRedirectUris?, backchannelLogoutUri?}',
    (state, change) => {
      Object.assign(state.client, change);
      state.rebuild();
    },
  ],
  account: [
    'Change or add an account: {login, claims}; a claim of null goes away',
    (state, { login, claims }) => {
      const account = (state.accounts[login] ??= { sub: `user_${login}` });
      Object.assign(account, claims);
      for (const [name, value] of Object.entries(account)) if (value === null) delete account[name];
      return account;
    },
  ],
  'delete-account': [
    'Forget an account: {login}; its refresh tokens are refused',
    (state, { login }) => {
      delete state.accounts[login];
    },
  ],
  'rotate-keys': [
    'Sign with new keys: {keep}; the old ones stay published if `keep` is true',
    async (state, { keep = true }) => {
      state.rings.retired = state.rings.current.map((key) => ({ ...key, isHidden: !keep }));
      state.rings.current = await newKeys();
      state.rebuild();
      return { kids: state.rings.current.map((key) => key.kid) };
    },
  ],
  down: ['Close the port and cut connections', (state) => state.close()],
  up: ['Open the port again', (state) => state.open()],
  hold: ['Let requests to a path wait: {path}', (state, { path }) => hold(state, path)],
  held: [
    'Wait until so many requests wait at a path: {path, count}',
    async (state, { path, count = 1 }) => {
      const held = state.held.get(path);
      if (!held) throw new Error(`\`${path}\` is not held`);
      while (held.waiting < count) await held.next();
      return { waiting: held.waiting };
    },
  ],
  release: [
    'Let them go on: {path}',
    (state, { path }) => {
      state.held.get(path)?.release();
      state.held.delete(path);
    },
  ],
  tamper: [
    'Falsify answers: {path: "/token", times: 1, status?, body?, id_token?, access_token?}',
    (state, order) => {
      state.tampers.push({ path: '/token', times: 1, ...order });
    },
  ],
  'tamper-no-more': ['Forget what was to be falsified', (state) => void state.tampers.splice(0)],
  sign: [
    'Sign claims: {claims, header?, key?: current|retired|foreign|foreign-same-kid|public-as-hmac|none, alg?}',
    async (state, order) => ({ token: await state.sign({ alg: state.settings.alg, ...order }) }),
  ],
  read: ['Header and claims of a token, unchecked: {token}', (_state, { token }) => read(token)],
  'access-token': [
    'Sign an access token for a person: {login, claims?, header?, key?}; the claims are as RFC 9068 has them',
    async (state, { login, claims = {}, header = {}, key, audience }) => {
      const account = known(state, login);
      const now = Math.floor(Date.now() / 1000);
      const { org, role, groups, email } = account;
      const all = {
        org, role, groups, email,
        iss: state.issuer,
        sub: account.sub,
        aud: audience ?? state.settings.audience ?? state.client.id,
        client_id: state.client.id,
        scope: 'openid profile email',
        jti: crypto.randomUUID(),
        iat: now,
        exp: now + state.settings.accessSeconds,
        ...claims,
      };
      for (const [name, value] of Object.entries(all)) if (value === null) delete all[name];
      const order = { claims: all, header: { typ: 'at+jwt', ...header }, key, alg: state.settings.alg };
      return { access_token: await state.sign(order) };
    },
  ],
  'end-session': [
    'End the sessions of a person here, and say so over the back channel: {login, claims?, key?}',
    (state, order) => endSessions(state, order),
  ],
  'logout-token': [
    'Sign a logout token: {login, sid?, claims?, header?, key?}',
    async (state, order) => ({ logout_token: await logoutToken(state, order) }),
  ],
  sessions: [
    'The sessions of a person: {login}; each with the `sid` that the client knows',
    (state, { login }) => sessionsOf(state, known(state, login).sub),
  ],
  log: ['The requests so far: {clear?}', (state, { clear = false }) =>
    clear ? state.log.splice(0) : state.log],
};

/** The server of the admin port. */
export function adminServer(state) {
  return createServer(async (request, response) => {
    const name = request.url.slice(1);
    try {
      if (name === '') return answer(response, 200, words());
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      const text = Buffer.concat(chunks).toString();
      if (!Object.hasOwn(COMMANDS, name)) return answer(response, 404, words());
      const [, run] = COMMANDS[name];
      const result = await run(state, text ? JSON.parse(text) : {});
      return answer(response, 200, result ?? {});
    } catch (error) {
      return answer(response, 400, { error: error.message });
    }
  });
}

const words = () => Object.fromEntries(Object.entries(COMMANDS).map(([name, [what]]) => [name, what]));

function answer(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function known(state, login) {
  const account = state.accounts[login];
  if (!account) throw new Error(`no account \`${login}\``);
  return account;
}

function hold(state, path) {
  if (state.held.has(path)) return;
  let release;
  let arrived = () => {};
  const held = {
    waiting: 0,
    released: new Promise((done) => { release = done; }),
    arrived: () => arrived(),
    next: () => new Promise((done) => { arrived = done; }),
  };
  held.release = release;
  state.held.set(path, held);
}

function sessionsOf(state, sub) {
  return state.store.all('Session')
    .filter((session) => session.accountId === sub)
    .map((session) => ({
      uid: session.uid,
      jti: session.jti,
      sid: session.authorizations?.[state.client.id]?.sid,
    }));
}

async function logoutToken(state, { login, sid, claims = {}, header = {}, key }) {
  const now = Math.floor(Date.now() / 1000);
  const all = {
    iss: state.issuer,
    aud: state.client.id,
    sub: known(state, login).sub,
    sid: sid ?? sessionsOf(state, known(state, login).sub)[0]?.sid ?? null,
    iat: now,
    exp: now + 120,
    jti: crypto.randomUUID(),
    events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
    ...claims,
  };
  for (const [name, value] of Object.entries(all)) if (value === null) delete all[name];
  return state.sign({ claims: all, header: { typ: 'logout+jwt', ...header }, key, alg: state.settings.alg });
}

/** By the provider's own means where nothing was to be falsified. */
async function endSessions(state, { login, notify = true }) {
  const { sub } = known(state, login);
  const ended = [];
  for (const { uid, sid } of sessionsOf(state, sub)) {
    const session = await state.provider.Session.findByUid(uid);
    const client = await state.provider.Client.find(state.client.id);
    let told = null;
    if (notify && sid && client.backchannelLogoutUri) {
      told = await client.backchannelLogout(sub, sid).then(() => true, (error) => error.message);
    }
    await session?.destroy();
    ended.push({ sid, told });
  }
  return { ended };
}
