// The identity provider of the tests: `node e2e/provider.mjs --port 0`. It is oidc-provider, which is
// certified and not ours, with accounts in memory and an admin port to break things on purpose.
//
// It prints one line of JSON when it is ready: issuer, admin, client_id, client_secret. It ends at
// SIGTERM, and with --until-stdin-closes also when whoever started it is gone.

import { parseArgs } from 'node:util';

import { start } from './provider/service.mjs';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    // `localhost` is another site than `127.0.0.1`; `127.0.0.1` is the same site on any port.
    host: { type: 'string', default: '127.0.0.1' },
    'client-id': { type: 'string', default: 'claviger' },
    'client-secret': { type: 'string' },
    'public-client': { type: 'boolean', default: false },
    'redirect-uri': { type: 'string', multiple: true, default: [] },
    'post-logout-redirect-uri': { type: 'string', multiple: true, default: [] },
    'backchannel-logout-uri': { type: 'string' },
    // Makes access tokens JWTs for this audience, an absolute URI. Without it they are opaque.
    audience: { type: 'string' },
    'claims-in': { type: 'string', default: 'id_token' }, // or `userinfo`
    alg: { type: 'string', default: 'RS256' }, // or `ES256`
    'access-seconds': { type: 'string', default: '300' },
    'until-stdin-closes': { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});

// Standard output is for the one line.
console.info = console.log = console.warn = values.verbose ? console.error : () => {};

const service = await start({
  port: Number(values.port),
  host: values.host,
  client: {
    id: values['client-id'],
    secret: values['public-client'] ? undefined : values['client-secret'],
    isPublic: values['public-client'],
    redirectUris: values['redirect-uri'],
    postLogoutRedirectUris: values['post-logout-redirect-uri'],
    backchannelLogoutUri: values['backchannel-logout-uri'],
  },
  audience: values.audience,
  claimsIn: values['claims-in'],
  alg: values.alg,
  accessSeconds: Number(values['access-seconds']),
});
process.stdout.write(`${JSON.stringify(service.facts)}\n`);

const end = () => service.stop().then(() => process.exit(0));
process.on('SIGTERM', end);
process.on('SIGINT', end);
if (values['until-stdin-closes']) process.stdin.on('end', end).on('close', end).resume();
