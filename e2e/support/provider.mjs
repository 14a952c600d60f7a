// The identity provider as the tests hold it: its facts, and its admin port as functions.

import { fileURLToPath } from 'node:url';

import { startProgram } from './process.mjs';

const PROGRAM = fileURLToPath(new URL('../provider.mjs', import.meta.url));

/** Starts a provider. `flags` are those of `e2e/provider.mjs`. */
export async function startProvider(flags = []) {
  const program = await startProgram(process.execPath, [PROGRAM, '--until-stdin-closes', ...flags], {
    found: (out) => (out.includes('\n') ? JSON.parse(out.slice(0, out.indexOf('\n'))) : undefined),
  });
  const facts = program.found;
  return {
    ...facts,
    /** A command of the admin port: `command('rotate-keys', {keep: false})`. */
    async command(name, body = {}) {
      const response = await fetch(`${facts.admin}/${name}`, { method: 'POST', body: JSON.stringify(body) });
      const answer = await response.json();
      if (!response.ok) throw new Error(`provider: ${name}: ${answer.error ?? response.status}`);
      return answer;
    },
    /** Tells the provider where Claviger is, once that is known. */
    async serves(url, { callback, afterSignOut, backchannel }) {
      await this.command('client', {
        redirectUris: [url + callback],
        postLogoutRedirectUris: afterSignOut ? [url + afterSignOut] : [],
        backchannelLogoutUri: backchannel ? url + backchannel : undefined,
      });
    },
    /** The environment that makes Claviger use it. */
    environment: {
      CLAVIGER_OIDC_ISSUER: facts.issuer,
      CLAVIGER_OIDC_CLIENT_ID: facts.client_id,
      ...(facts.client_secret && { CLAVIGER_OIDC_CLIENT_SECRET: facts.client_secret }),
      CLAVIGER_OIDC_ORG_CLAIM: 'org',
      CLAVIGER_OIDC_ROLE_CLAIM: 'role',
    },
    stop: () => program.stop(),
    kill: () => program.kill(),
  };
}
