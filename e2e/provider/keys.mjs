// Signing keys, and tokens signed with the right ones, with wrong ones, or with none.

import { createHmac, createPublicKey, generateKeyPair, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { exportJWK, importJWK, SignJWT } from 'jose';

const generate = promisify(generateKeyPair);

/** A pair of keys, one for RS256 and one for ES256, as private JWKs with ids of their own. */
export async function newKeys() {
  const [rsa, ec] = await Promise.all([
    generate('rsa', { modulusLength: 2048 }),
    generate('ec', { namedCurve: 'P-256' }),
  ]);
  return [await privateJwk(rsa.privateKey, 'RS256'), await privateJwk(ec.privateKey, 'ES256')];
}

async function privateJwk(key, alg) {
  return { ...(await exportJWK(key)), alg, use: 'sig', kid: randomBytes(8).toString('hex') };
}

/** The private key for this algorithm. */
export function keyFor(keys, alg) {
  const key = keys.find((one) => one.alg === alg);
  if (!key) throw new Error(`no key for ${alg}`);
  return key;
}

/**
 * Signs claims as told.
 *
 * `key` is `current`, `retired` (published no more, or not any more for signing), `foreign` (never
 * published), `foreign-same-kid` (never published, under the id of the current one), `public-as-hmac`
 * (HS256 with the text of the public key) or `none`.
 */
export async function sign(rings, { claims, header = {}, key = 'current', alg = 'RS256' }) {
  if (key === 'none') {
    return `${part({ alg: 'none', typ: 'JWT', ...header })}.${part(claims)}.`;
  }
  if (key === 'public-as-hmac') {
    return signWithPublicKey(keyFor(rings.current, 'RS256'), claims, header);
  }
  const current = keyFor(rings.current, alg);
  const chosen = {
    current,
    retired: rings.retired.find((one) => one.alg === alg),
    foreign: keyFor(rings.foreign, alg),
    'foreign-same-kid': { ...keyFor(rings.foreign, alg), kid: current.kid },
  }[key];
  if (!chosen) throw new Error(`there is no key \`${key}\``);
  return new SignJWT(claims)
    .setProtectedHeader({ alg, typ: 'JWT', kid: chosen.kid, ...header })
    .sign(await importJWK(chosen, alg));
}

/** The classic confusion: the public key, which everybody has, taken for a shared secret. */
function signWithPublicKey(jwk, claims, header) {
  const pem = createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
  const signed = `${part({ alg: 'HS256', typ: 'JWT', kid: jwk.kid, ...header })}.${part(claims)}`;
  return `${signed}.${createHmac('sha256', pem).update(signed).digest('base64url')}`;
}

function part(value) {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** The claims and the header of a token, unchecked. */
export function read(token) {
  const [header, claims] = token.split('.', 2).map((text) => JSON.parse(Buffer.from(text, 'base64url')));
  return { header, claims };
}
