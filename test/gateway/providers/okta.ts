import type { Provider } from './provider.ts'

const ORIGIN = 'https://acme.okta.com'
const ISSUER = `${ORIGIN}/oauth2/default`
const CLIENT = '0oa1gjh63g214q0Hq0g4'

const claims = {
  ver: 1,
  jti: 'AT.MNAoEQ_jbKqoinrQo1D0XKjMX28U5d7ZszBceot7-Ts',
  iss: ISSUER,
  aud: 'api://default',
  cid: CLIENT,
  uid: '00uid4BxXw6I6TV4m0g3',
  scp: ['openid', 'profile', 'offline_access'],
  sub: 'ada@acme.example',
  auth_time: 1_763_802_000,
  // A custom claim of the authorization server.
  org_id: 'org_acme',
}

/** A custom authorization server. Its documents are at the address with the path appended and inserted. */
export const okta: Provider = {
  name: 'Okta',
  alg: 'RS256',
  discovery: {
    url: `${ISSUER}/.well-known/openid-configuration`,
    document: {
      issuer: ISSUER,
      authorization_endpoint: `${ISSUER}/v1/authorize`,
      token_endpoint: `${ISSUER}/v1/token`,
      userinfo_endpoint: `${ISSUER}/v1/userinfo`,
      registration_endpoint: `${ORIGIN}/oauth2/v1/clients`,
      jwks_uri: `${ISSUER}/v1/keys`,
      response_types_supported: ['code', 'id_token', 'code id_token', 'code token', 'id_token token'],
      response_modes_supported: ['query', 'fragment', 'form_post', 'okta_post_message'],
      grant_types_supported: ['authorization_code', 'implicit', 'refresh_token', 'password'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['RS256'],
      introspection_endpoint: `${ISSUER}/v1/introspect`,
      revocation_endpoint: `${ISSUER}/v1/revoke`,
      end_session_endpoint: `${ISSUER}/v1/logout`,
      pushed_authorization_request_endpoint: `${ISSUER}/v1/par`,
    },
  },
  jwks: `${ISSUER}/v1/keys`,
  token: '/oauth2/default/v1/token',
  accessTokens: [{ name: 'of a custom authorization server', header: {}, claims }],
  organization: 'org_acme',
  idToken: { ver: 1, iss: ISSUER, sub: claims.uid, aud: CLIENT, jti: 'ID.1', nonce: 'n1', amr: ['pwd'] },
  refused: [
    { name: 'for another audience', header: {}, claims: { ...claims, aud: 'api://other' } },
    { name: 'of the org authorization server', header: {}, claims: { ...claims, iss: ORIGIN, aud: ORIGIN } },
  ],
  published: {
    issuer: 'https://auth.example.com',
    authorization_endpoint: 'https://auth.example.com/oauth2/default/v1/authorize',
    token_endpoint: 'https://auth.example.com/oauth2/default/v1/token',
  },
}
