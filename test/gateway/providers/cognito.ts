import type { Provider } from './provider.ts'

const POOL = 'https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_A1b2C3d4E'
const DOMAIN = 'https://acme.auth.eu-central-1.amazoncognito.com'
const CLIENT = '617jkna9pqeg8rmgtg9uv4e6j4'

const claims = {
  sub: 'c27a05a2-4ce1-4173-be51-9bbc3fe65a0a',
  'cognito:groups': ['eu-central-1_Google'],
  iss: POOL,
  version: 2,
  client_id: CLIENT,
  origin_jti: 'aa7a9a2e-1f2b-4c3d-8e9f-001122334455',
  event_id: 'ce82b157-abd7-11e8-a0b2-f197cbb44c95',
  token_use: 'access',
  scope: 'openid profile',
  auth_time: 1_763_802_000,
  jti: 'd49208e7-e619-40c7-a0b4-bb3c9607effa',
  username: 'ada',
  // Put in by a pre token generation trigger.
  org_id: 'org_acme',
}

/** The issuer is the user pool, and everything but the documents is at the domain. Access tokens have no audience. */
export const cognito: Provider = {
  name: 'Amazon Cognito',
  alg: 'RS256',
  discovery: {
    url: `${POOL}/.well-known/openid-configuration`,
    document: {
      authorization_endpoint: `${DOMAIN}/oauth2/authorize`,
      end_session_endpoint: `${DOMAIN}/logout`,
      id_token_signing_alg_values_supported: ['RS256'],
      issuer: POOL,
      jwks_uri: `${POOL}/.well-known/jwks.json`,
      response_types_supported: ['code', 'token'],
      revocation_endpoint: `${DOMAIN}/oauth2/revoke`,
      scopes_supported: ['openid', 'email', 'phone', 'profile'],
      subject_types_supported: ['public'],
      token_endpoint: `${DOMAIN}/oauth2/token`,
      token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
      userinfo_endpoint: `${DOMAIN}/oauth2/userInfo`,
    },
  },
  jwks: `${POOL}/.well-known/jwks.json`,
  token: '/oauth2/token',
  accessTokens: [
    { name: 'with an organization from the trigger', header: {}, claims },
    {
      name: 'with a group as the organization',
      header: {},
      claims: { ...claims, org_id: undefined, 'cognito:groups': ['acme'] },
      settings: { ORG_CLAIM: 'cognito:groups' },
      organization: 'acme',
    },
    {
      name: 'with a resource as its audience',
      header: {},
      claims: { ...claims, aud: 'https://api.example.com' },
      settings: { UPSTREAM_AUDIENCE: 'https://api.example.com' },
    },
  ],
  organization: 'org_acme',
  idToken: {
    sub: claims.sub,
    iss: POOL,
    aud: CLIENT,
    token_use: 'id',
    'cognito:username': 'ada',
    nonce: 'n1',
  },
  refused: [
    { name: 'of another client of the pool', header: {}, claims: { ...claims, client_id: 'other' } },
    { name: 'an ID token in its place', header: {}, claims: { ...claims, token_use: 'id' } },
  ],
  logInAt: `${DOMAIN}/oauth2/authorize`,
  published: {
    issuer: 'https://auth.example.com',
    token_endpoint: 'https://auth.example.com/oauth2/token',
    authorization_endpoint: 'https://auth.example.com/oauth2/authorize',
  },
}
