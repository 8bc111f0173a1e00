import type { Provider } from './provider.ts'

/** In its default mode the issuer is made of the address at which it is asked: the gateway's, by `X-Forwarded-Host`. */
const ORIGIN = 'https://authentik.example.com'
const PUBLIC = 'https://auth.example.com'
const ISSUER = `${PUBLIC}/application/o/reports/`
const CLIENT = 'tPbhUHC0KLVg2F0Q'

const claims = {
  iss: ISSUER,
  sub: '9b1f0a52c9d5f2f0a4c3',
  aud: CLIENT,
  auth_time: 1_763_802_000,
  acr: 'goauthentik.io/providers/oauth2/default',
  amr: ['pwd'],
  sid: '4f0c1b',
  email: 'ada@acme.example',
  groups: ['acme'],
  azp: CLIENT,
  uid: 'Zr8w0K',
  // From a scope mapping.
  org_id: 'org_acme',
}

/** Its access token has the ID token's claims, with the nonce at the log-in. */
export const authentik: Provider = {
  name: 'authentik',
  alg: 'RS256',
  discovery: {
    url: `${ORIGIN}/application/o/reports/.well-known/openid-configuration`,
    document: {
      issuer: ISSUER,
      authorization_endpoint: `${PUBLIC}/application/o/authorize/`,
      token_endpoint: `${PUBLIC}/application/o/token/`,
      userinfo_endpoint: `${PUBLIC}/application/o/userinfo/`,
      end_session_endpoint: `${PUBLIC}/application/o/reports/end-session/`,
      introspection_endpoint: `${PUBLIC}/application/o/introspect/`,
      revocation_endpoint: `${PUBLIC}/application/o/revoke/`,
      device_authorization_endpoint: `${PUBLIC}/application/o/device/`,
      response_types_supported: ['code', 'id_token', 'id_token token', 'code token'],
      response_modes_supported: ['query', 'fragment', 'form_post'],
      jwks_uri: `${PUBLIC}/application/o/reports/jwks/`,
      grant_types_supported: ['authorization_code', 'refresh_token', 'implicit', 'client_credentials'],
      id_token_signing_alg_values_supported: ['RS256'],
      subject_types_supported: ['public'],
    },
  },
  followsForwardedHost: true,
  jwks: `${ORIGIN}/application/o/reports/jwks/`,
  key: { x5c: ['MIIC'], x5t: 'x' },
  token: '/application/o/token/',
  accessTokens: [
    { name: 'of a refresh', header: { typ: 'JWT' }, claims },
    { name: 'of a log-in, with its nonce', header: { typ: 'JWT' }, claims: { ...claims, nonce: 'n1' } },
  ],
  organization: 'org_acme',
  idToken: { ...claims, nonce: 'n1' },
  refused: [
    {
      name: 'of another application',
      header: { typ: 'JWT' },
      claims: { ...claims, aud: 'other', azp: 'other' },
    },
  ],
  mintedIssuer: ISSUER,
  published: {
    issuer: ISSUER,
    authorization_endpoint: `${PUBLIC}/application/o/authorize/`,
    token_endpoint: `${PUBLIC}/application/o/token/`,
  },
}
