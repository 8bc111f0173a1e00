import type { Provider } from './provider.ts'

const ORIGIN = 'https://api.workos.com'
const CLIENT = 'client_01HXYZ'
const ISSUER = `${ORIGIN}/user_management/${CLIENT}`

const claims = {
  iss: ISSUER,
  sub: 'user_01HADA',
  sid: 'session_01HQSXZGF8FHF7A9ZZFCW4387R',
  jti: '01HQSXZXPPFPKMDD32RKTFR6F7',
  org_id: 'org_01HACME',
  role: 'admin',
  roles: ['admin'],
  permissions: ['reports:read'],
  entitlements: ['audit-logs'],
  feature_flags: ['of-workos'],
}

/** AuthKit: JSON at one path for every grant, keys by client id, no audience, no ID token. */
export const workos: Provider = {
  name: 'WorkOS',
  alg: 'RS256',
  discovery: {
    url: `${ISSUER}/.well-known/openid-configuration`,
    document: {
      issuer: ISSUER,
      authorization_endpoint: `${ORIGIN}/user_management/authorize`,
      token_endpoint: `${ORIGIN}/user_management/authenticate`,
      jwks_uri: `${ORIGIN}/sso/jwks/${CLIENT}`,
      response_types_supported: ['code'],
    },
  },
  jwks: `${ORIGIN}/sso/jwks/${CLIENT}`,
  token: '/user_management/authenticate',
  accessTokens: [{ name: 'of AuthKit', header: {}, claims }],
  organization: 'org_01HACME',
  answer: {
    user: { object: 'user', id: claims.sub, email: 'ada@acme.example' },
    organization_id: claims.org_id,
    authentication_method: 'Password',
  },
  refused: [
    {
      name: 'of another client',
      header: {},
      claims: { ...claims, iss: `${ORIGIN}/user_management/client_other` },
    },
  ],
  mintedIssuer: ISSUER,
  published: { issuer: ISSUER, token_endpoint: 'https://auth.example.com/user_management/authenticate' },
}
