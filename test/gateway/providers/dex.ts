import type { Provider } from './provider.ts'

const ORIGIN = 'https://dex.example.com'
const ISSUER = `${ORIGIN}/dex`

const claims = {
  iss: ISSUER,
  sub: 'CgcyMzQyNzQ5EgZnaXRodWI',
  aud: 'reports',
  at_hash: 'fPlsvVszI29LU2UhDyJ9vg',
  email: 'ada@acme.example',
  email_verified: true,
  groups: ['acme'],
  name: 'Ada Lovelace',
  federated_claims: { connector_id: 'acme', user_id: '2342749' },
}

/** Its access token is made by the function that makes its ID tokens: `at_hash` always, `nonce` at the log-in. */
export const dex: Provider = {
  name: 'Dex',
  alg: 'RS256',
  discovery: {
    url: `${ISSUER}/.well-known/openid-configuration`,
    document: {
      issuer: ISSUER,
      authorization_endpoint: `${ISSUER}/auth`,
      token_endpoint: `${ISSUER}/token`,
      jwks_uri: `${ISSUER}/keys`,
      userinfo_endpoint: `${ISSUER}/userinfo`,
      device_authorization_endpoint: `${ISSUER}/device/code`,
      introspection_endpoint: `${ISSUER}/token/introspect`,
      grant_types_supported: ['authorization_code', 'refresh_token'],
      response_types_supported: ['code'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['RS256'],
      code_challenge_methods_supported: ['S256', 'plain'],
      scopes_supported: ['openid', 'email', 'groups', 'profile', 'offline_access'],
    },
  },
  jwks: `${ISSUER}/keys`,
  token: '/dex/token',
  accessTokens: [
    { name: 'of a refresh', header: {}, claims },
    { name: 'of a log-in, with its nonce', header: {}, claims: { ...claims, nonce: 'n1' } },
    {
      name: 'with a group as the organization',
      header: {},
      claims: { ...claims, federated_claims: undefined },
      settings: { ORG_CLAIM: 'groups' },
    },
  ],
  organization: 'acme',
  idToken: { ...claims, nonce: 'n1' },
  refused: [{ name: 'of another client', header: {}, claims: { ...claims, aud: 'other' } }],
  published: {
    issuer: 'https://auth.example.com',
    authorization_endpoint: 'https://auth.example.com/dex/auth',
    token_endpoint: 'https://auth.example.com/dex/token',
  },
}
