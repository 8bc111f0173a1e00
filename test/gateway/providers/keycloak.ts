import type { Provider } from './provider.ts'

const ORIGIN = 'https://keycloak.example.com'
const ISSUER = `${ORIGIN}/realms/acme`
const OIDC = `${ISSUER}/protocol/openid-connect`

const common = {
  jti: 'onrtac:3f0d6a0b-7a2e-4b0e-9a9b-6d0f2a5f7a11',
  iss: ISSUER,
  aud: ['reports-api', 'account'],
  sub: 'f0b1c2d3-7a2e-4b0e-9a9b-6d0f2a5f7a11',
  typ: 'Bearer',
  azp: 'web',
  sid: '0a7a9a2e-1f2b-4c3d-8e9f-001122334455',
  acr: '1',
  'allowed-origins': ['https://app.example.com'],
  realm_access: { roles: ['offline_access', 'default-roles-acme'] },
  resource_access: { account: { roles: ['view-profile'] } },
  scope: 'openid profile email organization',
  preferred_username: 'ada',
}

/** Organizations of Keycloak 26, in the two forms that its mapper has; before 25 access tokens have the log-in's nonce. */
export const keycloak: Provider = {
  name: 'Keycloak',
  alg: 'RS256',
  discovery: {
    url: `${ISSUER}/.well-known/openid-configuration`,
    document: {
      issuer: ISSUER,
      authorization_endpoint: `${OIDC}/auth`,
      token_endpoint: `${OIDC}/token`,
      introspection_endpoint: `${OIDC}/token/introspect`,
      userinfo_endpoint: `${OIDC}/userinfo`,
      end_session_endpoint: `${OIDC}/logout`,
      frontchannel_logout_session_supported: true,
      frontchannel_logout_supported: true,
      jwks_uri: `${OIDC}/certs`,
      check_session_iframe: `${OIDC}/login-status-iframe.html`,
      grant_types_supported: ['authorization_code', 'client_credentials', 'implicit', 'refresh_token'],
      response_types_supported: ['code', 'none', 'id_token', 'token', 'code id_token'],
      response_modes_supported: ['query', 'fragment', 'form_post', 'query.jwt', 'jwt'],
      id_token_signing_alg_values_supported: ['PS384', 'RS384', 'EdDSA', 'ES384', 'HS256', 'RS256', 'ES256'],
      request_parameter_supported: true,
      tls_client_certificate_bound_access_tokens: true,
      revocation_endpoint: `${OIDC}/revoke`,
      backchannel_logout_supported: true,
      backchannel_logout_session_supported: true,
      device_authorization_endpoint: `${OIDC}/auth/device`,
      pushed_authorization_request_endpoint: `${OIDC}/ext/par/request`,
      backchannel_authentication_endpoint: `${OIDC}/ext/ciba/auth`,
      authorization_response_iss_parameter_supported: true,
      mtls_endpoint_aliases: { token_endpoint: `${OIDC}/token` },
    },
  },
  jwks: `${OIDC}/certs`,
  key: { x5t: 'x', x5c: ['MIIC'] },
  token: '/realms/acme/protocol/openid-connect/token',
  accessTokens: [
    {
      name: 'an organization as a map, with its id',
      header: { typ: 'JWT' },
      claims: { ...common, organization: { acme: { id: '42c3e46f-2477-44d7-a85b-d3b43f6b31fa' } } },
    },
    {
      name: 'the id of an organization',
      header: { typ: 'JWT' },
      claims: { ...common, organization: { acme: { id: '42c3e46f-2477-44d7-a85b-d3b43f6b31fa' } } },
      settings: { ORG_CLAIM: 'organization.*.id' },
      organization: '42c3e46f-2477-44d7-a85b-d3b43f6b31fa',
    },
    {
      name: 'an organization as a list of one',
      header: { typ: 'JWT' },
      claims: { ...common, organization: ['acme'] },
    },
    {
      name: 'before version 25, with the nonce of the log-in',
      header: { typ: 'JWT' },
      claims: { ...common, nonce: 'n1', session_state: common.sid, organization: { acme: {} } },
    },
  ],
  organization: 'acme',
  idToken: { iss: ISSUER, sub: common.sub, aud: 'web', typ: 'ID', azp: 'web', nonce: 'n1', sid: common.sid },
  answer: { refresh_expires_in: 1800, 'not-before-policy': 0, session_state: common.sid },
  refused: [
    { name: 'for another API', header: { typ: 'JWT' }, claims: { ...common, aud: 'account' } },
    { name: 'an ID token in its place', header: { typ: 'JWT' }, claims: { ...common, typ: 'ID' } },
    { name: 'a refresh token in its place', header: { typ: 'JWT' }, claims: { ...common, typ: 'Refresh' } },
  ],
  published: {
    issuer: 'https://auth.example.com',
    authorization_endpoint: 'https://auth.example.com/realms/acme/protocol/openid-connect/auth',
    token_endpoint: 'https://auth.example.com/realms/acme/protocol/openid-connect/token',
  },
}
