import type { Provider } from './provider.ts'

const ORIGIN = 'https://acme.eu.auth0.com'
const ISSUER = `${ORIGIN}/`
const CLIENT = 'K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja'

const common = {
  iss: ISSUER,
  sub: 'auth0|6553da60a54af58e29493993',
  aud: ['https://api.example.com', `${ORIGIN}/userinfo`],
  scope: 'openid profile email offline_access',
  org_id: 'org_9ybsU1dN2dKfDkBi',
  permissions: ['read:reports'],
}

/** The default token profile and that of RFC 9068; `org_id` is that of Auth0 Organizations. */
export const auth0: Provider = {
  name: 'Auth0',
  alg: 'RS256',
  discovery: {
    url: `${ORIGIN}/.well-known/openid-configuration`,
    document: {
      issuer: ISSUER,
      authorization_endpoint: `${ORIGIN}/authorize`,
      token_endpoint: `${ORIGIN}/oauth/token`,
      device_authorization_endpoint: `${ORIGIN}/oauth/device/code`,
      userinfo_endpoint: `${ORIGIN}/userinfo`,
      mfa_challenge_endpoint: `${ORIGIN}/mfa/challenge`,
      jwks_uri: `${ORIGIN}/.well-known/jwks.json`,
      registration_endpoint: `${ORIGIN}/oidc/register`,
      revocation_endpoint: `${ORIGIN}/oauth/revoke`,
      end_session_endpoint: `${ORIGIN}/oidc/logout`,
      scopes_supported: ['openid', 'profile', 'offline_access', 'email'],
      response_types_supported: ['code', 'token', 'id_token', 'code token', 'code id_token'],
      code_challenge_methods_supported: ['S256', 'plain'],
      response_modes_supported: ['query', 'fragment', 'form_post'],
      subject_types_supported: ['public'],
      token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
      id_token_signing_alg_values_supported: ['HS256', 'RS256', 'PS256'],
    },
  },
  jwks: `${ORIGIN}/.well-known/jwks.json`,
  key: { x5t: 'x', x5c: ['MIIC'] },
  token: '/oauth/token',
  accessTokens: [
    { name: 'the Auth0 profile', header: { typ: 'JWT' }, claims: { ...common, azp: CLIENT } },
    {
      name: 'the RFC 9068 profile',
      header: { typ: 'at+jwt' },
      claims: { ...common, client_id: CLIENT, jti: '73WakrfVbNJBaAmhQtEeDv' },
    },
    {
      name: 'an organization from an Action',
      header: { typ: 'JWT' },
      claims: { ...common, org_id: undefined, azp: CLIENT, 'https://example.com/org': 'acme' },
      settings: { ORG_CLAIM: 'https://example.com/org' },
      organization: 'acme',
    },
  ],
  organization: 'org_9ybsU1dN2dKfDkBi',
  idToken: { iss: ISSUER, sub: common.sub, aud: CLIENT, nonce: 'n1', sid: 'fS9', org_id: common.org_id },
  refused: [
    {
      name: 'for another API of the tenant',
      header: { typ: 'JWT' },
      claims: { ...common, aud: 'https://other.example.com', azp: CLIENT },
    },
  ],
  // Clients of Auth0 compare with the trailing slash.
  mintedIssuer: 'https://auth.example.com/',
  published: {
    issuer: 'https://auth.example.com/',
    authorization_endpoint: 'https://auth.example.com/authorize',
    token_endpoint: 'https://auth.example.com/oauth/token',
    end_session_endpoint: 'https://auth.example.com/oidc/logout',
  },
}
