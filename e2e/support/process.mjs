// Programs under test: started, waited for by what they print, and ended with the test.

import { spawn } from 'node:child_process';
import { once } from 'node:events';

const READY_MS_MAX = 60_000;

/**
 * Starts a program and waits until it has printed what `found` looks for: `found(out, err)` gives
 * something once it is there. Gives `{child, found, out, err, until, stop}`.
 *
 * The program is killed when this process ends, however it ends.
 */
export async function startProgram(command, args, { found, ...options }) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
  const text = { out: '', err: '' };
  let look = () => {};
  child.stdout.setEncoding('utf8').on('data', (chunk) => { text.out += chunk; look(); });
  child.stderr.setEncoding('utf8').on('data', (chunk) => { text.err += chunk; look(); });
  // Nothing reads what a program says to nobody: writing to one that is gone must not throw.
  child.stdin.on('error', () => {});
  const ended = once(child, 'close');
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  ended.then(() => process.off('exit', kill), () => {});

  /** Waits for what one of them looks for, at a time. */
  const until = (finds) => new Promise((done, failed) => {
    const fail = (why) => failed(new Error(`${command} ${args.join(' ')}: ${why}\n${text.err}${text.out}`));
    const limit = setTimeout(() => fail(`not written after ${READY_MS_MAX} ms`), READY_MS_MAX);
    child.once('error', (error) => fail(error.message));
    child.once('close', (code) => fail(`ended with ${code} before it was written`));
    look = () => {
      const value = finds(text.out, text.err);
      if (value === undefined) return;
      clearTimeout(limit);
      look = () => {};
      done(value);
    };
    look();
  });
  const first = await until(found).catch((error) => { kill(); throw error; });

  return {
    child,
    found: first,
    /** Waits until it has written more: `until((out, err) => …)` gives what is found there. */
    until,
    /** What it has written so far. */
    get out() { return text.out; },
    get err() { return text.err; },
    /** Ends it by SIGTERM; gives its exit code. */
    async stop() {
      child.kill('SIGTERM');
      const [code] = await ended;
      return code;
    },
    /** Ends it as a crash would. */
    async kill() {
      kill();
      await ended;
    },
  };
}

/** Runs a program to its end; gives `{code, out, err}`. */
export async function run(command, args, options = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  const text = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (chunk) => { text.out += chunk; });
  child.stderr.setEncoding('utf8').on('data', (chunk) => { text.err += chunk; });
  const [code] = await once(child, 'close');
  return { code, ...text };
}
