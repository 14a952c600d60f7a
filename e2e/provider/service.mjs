// The provider as a service: oidc-provider behind a port that can be closed, its keys changed, its
// answers held back or falsified.

import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

import { ACCOUNTS, CLAIMS_OF_ACCESS_TOKENS, CLAIMS_OF_SCOPES } from './accounts.mjs';
import { adminServer } from './admin.mjs';
import { newKeys, sign } from './keys.mjs';
import { loginForm, logoutPage } from './login.mjs';
import { newStore } from './store.mjs';
import { tampering } from './tamper.mjs';

/**
 * Starts it. `settings` are those of the command line; gives `{facts, state, stop}`.
 *
 * `facts` is what Claviger is configured with, and where the admin port is.
 */
export async function start(settings) {
  const state = {
    settings,
    client: { ...settings.client, secret: settings.client.secret ?? newSecret(settings.client) },
    accounts: structuredClone(ACCOUNTS),
    store: newStore(),
    rings: { current: await newKeys(), retired: [], foreign: await newKeys() },
    cookieKeys: [randomBytes(16).toString('hex')],
    log: [],
    held: new Map(),
    tampers: [],
    sign: (order) => sign(state.rings, order),
    rebuild: () => rebuild(state),
    open: () => open(state),
    close: () => close(state),
  };
  state.server = createServer((request, response) => state.handle(request, response));
  await listen(state.server, settings.port, settings.host);
  state.port = state.server.address().port;
  state.issuer = `http://${settings.host}:${state.port}`;
  state.rebuild();
  const admin = adminServer(state);
  await listen(admin, 0, '127.0.0.1');
  const facts = {
    issuer: state.issuer,
    admin: `http://127.0.0.1:${admin.address().port}`,
    client_id: state.client.id,
    client_secret: state.client.secret ?? null,
    accounts: Object.keys(state.accounts),
  };
  const stop = async () => {
    await state.close();
    admin.closeAllConnections();
    await new Promise((done) => admin.close(done));
  };
  return { facts, state, stop };
}

const newSecret = ({ isPublic }) => (isPublic ? undefined : randomBytes(32).toString('base64url'));

/** Puts a new provider in the place of the old one: with other keys or another client, and all sessions. */
function rebuild(state) {
  const provider = new Provider(state.issuer, configuration(state));
  provider.use(logging(state));
  provider.use(holding(state));
  provider.use(tampering(state));
  provider.use(loginForm(state));
  provider.on('server_error', (_ctx, error) => console.error(error));
  state.provider = provider;
  state.handle = provider.callback();
}

function configuration(state) {
  const { settings, rings, accounts, client } = state;
  // By `sub`, and also while somebody is being given other claims.
  const bySub = (sub) => Object.values(accounts).find((account) => account.sub === sub);
  return {
    adapter: state.store.Adapter,
    claims: CLAIMS_OF_SCOPES,
    clients: [clientMetadata(client, settings)],
    // By the letter of the standard claims come from userinfo in this flow; most providers put
    // them into the id token all the same.
    conformIdTokenClaims: settings.claimsIn === 'userinfo',
    cookies: { keys: state.cookieKeys },
    extraTokenClaims: (_ctx, token) => pick(bySub(token.accountId), CLAIMS_OF_ACCESS_TOKENS),
    features: {
      backchannelLogout: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: resources(settings),
      revocation: { enabled: true },
      introspection: { enabled: true },
      rpInitiatedLogout: { enabled: true, logoutSource: logoutPage },
    },
    // Its own guard against addresses like 127.0.0.1 would keep logout tokens from arriving here.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    findAccount: (_ctx, sub) => {
      const account = bySub(sub);
      return account && { accountId: sub, claims: () => account };
    },
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    issueRefreshToken: (_ctx, it) => it.grantTypeAllowed('refresh_token'),
    jwks: { keys: [...rings.current, ...rings.retired.filter((key) => !key.isHidden).map(published)] },
    loadExistingGrant: grantEverything,
    pkce: { required: () => true },
    rotateRefreshToken: () => true,
    ttl: { AccessToken: settings.accessSeconds, IdToken: 300, AuthorizationCode: 60 },
  };
}

function clientMetadata(client, settings) {
  return {
    client_id: client.id,
    ...(client.isPublic
      ? { token_endpoint_auth_method: 'none' }
      : { client_secret: client.secret, token_endpoint_auth_method: 'client_secret_basic' }),
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    // There must be one; nothing listens on this.
    redirect_uris: client.redirectUris.length > 0 ? client.redirectUris : ['http://127.0.0.1:1/none'],
    post_logout_redirect_uris: client.postLogoutRedirectUris,
    ...(client.backchannelLogoutUri && {
      backchannel_logout_uri: client.backchannelLogoutUri,
      backchannel_logout_session_required: true,
    }),
    id_token_signed_response_alg: settings.alg,
  };
}

function resources({ audience, alg, accessSeconds }) {
  if (!audience) return { enabled: false };
  return {
    enabled: true,
    defaultResource: () => audience,
    useGrantedResource: () => true,
    getResourceServerInfo: () => ({
      audience,
      scope: 'openid profile email offline_access',
      accessTokenFormat: 'jwt',
      accessTokenTTL: accessSeconds,
      jwt: { sign: { alg } },
    }),
  };
}

/** Consent is a question that no test asks. */
async function grantEverything(ctx) {
  const { client, session, provider, params } = ctx.oidc;
  const known = session.grantIdFor(client.clientId);
  const grant = (known && (await provider.Grant.find(known)))
    ?? new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope(params.scope ?? 'openid');
  for (const resource of [params.resource ?? []].flat()) grant.addResourceScope(resource, params.scope);
  await grant.save();
  return grant;
}

/** What a request was, and how it was answered: tests ask how often keys were fetched, and the like. */
function logging(state) {
  return async (ctx, next) => {
    const row = { method: ctx.method, path: ctx.path };
    state.log.push(row);
    await next();
    row.status = ctx.status;
    if (ctx.oidc?.params?.grant_type) row.grant_type = ctx.oidc.params.grant_type;
  };
}

/** Keeps requests to a path waiting while it is held. */
function holding(state) {
  return async (ctx, next) => {
    const hold = state.held.get(ctx.path);
    if (hold) {
      hold.waiting += 1;
      hold.arrived();
      await hold.released;
    }
    await next();
  };
}

const published = ({ isHidden, ...key }) => key;

const pick = (from, names) =>
  Object.fromEntries(names.filter((name) => from?.[name] !== undefined).map((name) => [name, from[name]]));

const listen = (server, port, host) =>
  new Promise((done, failed) => server.once('error', failed).listen(port, host, done));

/** Opens the port again, the same one. */
async function open(state) {
  if (!state.server.listening) await listen(state.server, state.port, state.settings.host);
}

/** Closes the port, and cuts every connection. */
async function close(state) {
  if (!state.server.listening) return;
  state.server.closeAllConnections();
  await new Promise((done) => state.server.close(done));
}
