// The real binary as a server, on a port and in a data directory of its own.

import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { run, startProgram } from './process.mjs';

/** What the check has built; another one can be named. */
export const BINARY = process.env.CLAVIGER_E2E_BINARY
  ?? fileURLToPath(new URL('../../target/debug/claviger', import.meta.url));

/** An `ADMIN_TOKEN` for servers that are started with one. */
export const ADMIN_TOKEN = '0123456789abcdef0123456789abcdef0123456789abcdef';

/**
 * Starts `claviger serve`, and waits until it says where it listens.
 *
 * `adminToken: true` sets `ADMIN_TOKEN`. `isPublic` gives it a `--public-url`, which is its own
 * address: a server with an identity provider wants one. `environment` is all else that it sees of
 * the environment, `flags` are added to the command, `home` is that of a server that was stopped with
 * `keepsData`. With `atTerminal` it is started as by hand, and prints what is for nobody else's eyes.
 */
export async function startServer({
  adminToken = false, isPublic = false, environment = {}, flags = [], home, atTerminal = false,
} = {}) {
  home ??= await mkdtemp(join(tmpdir(), 'claviger-e2e-'));
  const port = isPublic ? await freePort() : 0;
  const env = { ...environment, ...(adminToken && { ADMIN_TOKEN }) };
  const args = ['serve', '--listen', `127.0.0.1:${port}`, '--data-dir', join(home, 'data')];
  if (isPublic) args.push('--public-url', `http://127.0.0.1:${port}`);
  const [command, words] = atTerminal ? inTerminal(BINARY, [...args, ...flags]) : [BINARY, [...args, ...flags]];
  const program = await startProgram(command, words, { cwd: home, env, found: address });
  return new Server(program, { home, env });
}

/** The same command with a terminal of its own: `script` is a part of every Debian. */
function inTerminal(command, args) {
  const quoted = [command, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`);
  return ['/usr/bin/script', ['-qefc', `exec ${quoted.join(' ')}`, '/dev/null']];
}

/** What is read on a terminal: without what makes it bold, and with ends of lines as anywhere. */
const asText = (shown) => shown.replaceAll(/\u001b\[[0-9;]*m/g, '').replaceAll('\r\n', '\n');

/** The address in the welcome, once the welcome is whole: up to the line that says which tier is open. */
function address(out, err) {
  const [, listens, rest] = asText(err + out).match(/ listens on (\S+)\n[^]*? {2}reference [^\n]*\n\n([^\n]+\n)/) ?? [];
  return rest && listens;
}

/** A port that nobody has at this moment. */
async function freePort() {
  const probe = createServer();
  await new Promise((done, failed) => probe.once('error', failed).listen(0, '127.0.0.1', done));
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  return port;
}

class Server {
  constructor(program, { home, env }) {
    Object.assign(this, { program, home, env });
    /** `http://127.0.0.1:PORT`, as it printed it. */
    this.url = program.found;
    /** A key that may do everything, once `firstKey` was called. */
    this.key = undefined;
  }

  /** Its audit lines so far. */
  get lines() { return this.program.out.split('\n').slice(0, -1); }

  /** Its welcome and its log so far. */
  get log() { return this.program.err; }

  /** The one-time link that it has printed, where it has a terminal. */
  get printedLink() { return asText(this.program.out).match(/^ {2}(http\S+\/canvas\/link#\S+)$/m)?.[1]; }

  /** Mints a full-org key: by `ADMIN_TOKEN` if it is set, else by tier 0, which that closes. */
  async firstKey() {
    const token = this.env.ADMIN_TOKEN;
    const minted = await this.api('POST', '/org/tokens', { name: 'harness' }, { token });
    this.key = minted.auth_token;
    return minted;
  }

  /**
   * Calls the JSON API as `token` (the first key unless told otherwise); gives the body, and throws
   * when the status is not 2xx.
   */
  async api(method, path, body, { token = this.key } = {}) {
    const { status, body: answer } = await this.ask(method, path, body, { token });
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(answer)}`);
    return answer;
  }

  /** The same, and gives `{status, headers, body}` whatever the status is. */
  async ask(method, path, body, { token, headers = {} } = {}) {
    const response = await fetch(this.url + path, {
      method,
      redirect: 'manual',
      headers: {
        ...(token && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    const isJson = /[/+]json/.test(response.headers.get('content-type') ?? '');
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
  }

  /** Runs the command line against it: `cli('whoami', '--json')`. */
  async cli(...words) {
    const env = { ...this.env, CLAVIGER_URL: this.url, ...(this.key && { CLAVIGER_TOKEN: this.key }) };
    const ended = await run(BINARY, words, { cwd: this.home, env });
    if (ended.code !== 0) throw new Error(`claviger ${words.join(' ')}: ${ended.code}\n${ended.err}${ended.out}`);
    return ended.out;
  }

  /** A one-time sign-in link, from `claviger login-link`, which wants a key that may make one. */
  async loginLink() {
    const said = await this.cli('login-link');
    const [link] = said.match(/https?:\/\/[^\s"]+\/canvas\/link[^\s"]*/) ?? [];
    if (!link) throw new Error(`no link in: ${said}`);
    return link;
  }

  /** Ends it well, and removes its data unless another server is to go on with them. */
  async stop({ keepsData = false } = {}) {
    const code = await this.program.stop();
    if (!keepsData) await rm(this.home, { recursive: true, force: true });
    if (code !== 0) throw new Error(`the server ended with ${code}:\n${this.log}`);
  }
}
