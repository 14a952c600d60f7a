// Another site, with pages that attack whoever is signed in to Claviger in the same browser.

import { createServer } from 'node:http';

import { EMBEDDED, HELPERS, NAVIGATING } from './attacks.mjs';

/** How an attacker may stand to `127.0.0.1`: the names of its own address. */
export const ORIGINS = {
  'another site': 'evil.test',
  'another site on this machine': 'localhost',
  // Cookies know no ports: from here even SameSite=Strict goes along.
  'another port': '127.0.0.1',
};

const ATTACK_MS_MAX = 30_000;

/** Starts the attacker's site. */
export async function startAttacker() {
  const server = createServer((request, response) => {
    const url = new URL(request.url, 'http://attacker');
    if (url.pathname === '/redirect') {
      response.writeHead(307, { location: url.searchParams.get('to') }).end();
      return;
    }
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
    response.end('<!doctype html><title>Win a prize</title><link rel="icon" href="data:,"><body>Please wait …</body>');
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address();
  return {
    origin: (host) => `http://${host}:${port}`,
    /**
     * Attacks from one of `ORIGINS` with everything there is. `target` is `{method, path, form, json}`;
     * `home` is Claviger's address. Gives `{sent, read}`: what arrived there (`{attack, method, path,
     * status, cookie}`), and what could be read (`{attack, what}`).
     */
    async attack(context, { host, home, target }) {
      const page = await context.newPage();
      const scene = { context, page, origin: `http://${host}:${port}`, home, target, sent: [], read: [] };
      try {
        await embedded(scene);
        // One after the other: what is sent meanwhile is the work of the one that is under way.
        for (const name of Object.keys(NAVIGATING)) await navigating(scene, name);
      } finally {
        await page.close();
      }
      return { sent: scene.sent, read: scene.read };
    },
    /**
     * Attacks many targets from one page, each with what goes along with the page's own cookies: a form in
     * a frame, `fetch` that may not read and that would, `fetch` with the target's own method, and an
     * image. Gives the same.
     */
    async sweep(context, { host, home, targets }) {
      const page = await context.newPage();
      const scene = { context, page, origin: `http://${host}:${port}`, home, sent: [], read: [] };
      try {
        await sweeping(scene, targets);
      } finally {
        await page.close();
      }
      return { sent: scene.sent, read: scene.read };
    },
    stop: () => {
      server.closeAllConnections();
      return new Promise((done) => server.close(done));
    },
  };
}

/** The program that runs in the page: the attacks, what they use, and the one that is wanted. */
const program = (attacks, { home, target }, run) => `(async () => {
  ${HELPERS.map((helper) => helper.toString()).join('\n')}
  const attacks = { ${Object.entries(attacks).map(([name, attack]) => `${JSON.stringify(name)}: ${asFunction(attack)}`).join(',\n')} };
  const target = ${JSON.stringify({ form: {}, json: {}, ...target, url: home + target.path })};
  target.redirect307 = (to) => location.origin + '/redirect?to=' + encodeURIComponent(to);
  ${run}
})()`;

/** Methods are written `async 'name'(…) {…}`, which is no expression. */
function asFunction(attack) {
  const text = attack.toString();
  const [head] = text.match(/^async '[^']*'(?=\()/) ?? [];
  return head ? `async function ${text.slice(head.length)}` : text;
}

async function embedded(scene) {
  const findings = await noting(scene, 'embedded', () => scene.page.evaluate(program(EMBEDDED, scene, `
    const limit = (name) => new Promise((done) => setTimeout(() => done({ name, what: 'unknown: it never ended' }), ${ATTACK_MS_MAX}));
    return Promise.all(Object.entries(attacks).map(([name, attack]) => Promise.race([
      limit(name),
      Promise.resolve().then(() => attack(target)).then((what) => ({ name, what }), () => ({ name })),
    ])));`)));
  for (const { name, what } of findings) if (what !== undefined) scene.read.push({ attack: name, what });
}

/** How many attacks of a sweep are under way at a time. */
const AT_ONCE = 8;

async function sweeping(scene, targets) {
  const chosen = ['form in a frame', 'fetch, opaque', 'fetch, a form', 'fetch, its own method, preflighted', 'image'];
  const attacks = Object.fromEntries(chosen.map((name) => [name, EMBEDDED[name]]));
  const findings = await noting(scene, 'sweep', () => scene.page.evaluate(program(attacks, { ...scene, target: { path: '' } }, `
    const work = ${JSON.stringify(targets)}.flatMap((one) => Object.entries(attacks).map(([name, attack]) => ({ one, name, attack })));
    const found = [];
    const next = async () => {
      for (let it = work.shift(); it; it = work.shift()) {
        const { one, name, attack } = it;
        const limit = new Promise((done) => setTimeout(done, ${ANSWER_MS_MAX}));
        const what = await Promise.race([limit, attack({ form: {}, json: {}, ...one, url: ${JSON.stringify(scene.home)} + one.path })]).catch(() => undefined);
        if (what !== undefined) found.push({ attack: name + ': ' + one.method + ' ' + one.path, what });
      }
    };
    return Promise.all(Array.from({ length: ${AT_ONCE} }, next)).then(() => found);`)));
  scene.read.push(...findings);
}

async function navigating(scene, name) {
  const { context, page, home } = scene;
  await noting(scene, name, async () => {
    // Whatever window it ends in: the attack is over when the target has answered it there, and sends
    // it nowhere else.
    const answered = context.waitForEvent('response', {
      predicate: (response) => response.url().startsWith(home) && response.request().isNavigationRequest()
        && Math.trunc(response.status() / 100) !== 3,
      timeout: ATTACK_MS_MAX,
    });
    const opens = name.includes('new window');
    const popup = opens ? context.waitForEvent('page', { timeout: ATTACK_MS_MAX }) : undefined;
    const only = { [name]: NAVIGATING[name] };
    // Leaving destroys the world in which this is evaluated.
    await page.evaluate(program(only, scene, 'Object.values(attacks)[0](target);')).catch(() => {});
    await inTime((await answered).finished());
    if (opens) {
      const what = await page.evaluate(`(() => {
        try { return window.opened?.document.body.innerText } catch { return undefined }
      })()`);
      if (what) scene.read.push({ attack: name, what });
      await (await popup).close();
    }
  });
}

/** Opens the attacker's page, and notes what goes to the target while it is used. */
async function noting({ context, page, origin, home, sent }, attack, use) {
  await page.goto(`${origin}/`);
  const noted = [];
  const note = (request) => {
    // What a page of ours fetches for itself is no attack.
    const isOurs = request.url().startsWith(`${home}/canvas/assets/`);
    if (request.url().startsWith(home) && !isOurs) noted.push(describe(attack, request, home));
  };
  context.on('request', note);
  try {
    const result = await use();
    sent.push(...await Promise.all(noted));
    return result;
  } finally {
    context.off('request', note);
  }
}

const ANSWER_MS_MAX = 5000;

/** What is promised, or null: of a request that went away with its page the browser may never tell the end. */
function inTime(promise) {
  let limit;
  const late = new Promise((done) => { limit = setTimeout(done, ANSWER_MS_MAX, null); });
  return Promise.race([promise, late]).finally(() => clearTimeout(limit));
}

/** `status` is null where the browser kept the answer from the page. */
async function describe(attack, request, home) {
  const response = await inTime(request.response().catch(() => null));
  const headers = response ? await request.allHeaders().catch(() => ({})) : {};
  return {
    attack,
    method: request.method(),
    path: request.url().slice(home.length),
    status: response?.status() ?? null,
    to: response?.headers().location ?? null,
    cookie: 'cookie' in headers,
    site: headers['sec-fetch-site'] ?? null,
  };
}
