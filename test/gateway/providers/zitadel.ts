import type { Provider } from './provider.ts'

const ORIGIN = 'https://acme.zitadel.cloud'
const CLIENT = '69234237810729234@reports'
const PROJECT = '69234237810729019'

const claims = {
  iss: ORIGIN,
  sub: '77776025198584418',
  aud: [CLIENT, PROJECT],
  nbf: 0,
  jti: 'at_69234237813329048',
  client_id: CLIENT,
  'urn:zitadel:iam:user:resourceowner:id': '69234230193872955',
  'urn:zitadel:iam:user:resourceowner:name': 'ACME',
  'urn:zitadel:iam:user:resourceowner:primary_domain': 'acme.example',
}

/** JWT access tokens are a setting of the application; the organization comes with a scope of its own. */
export const zitadel: Provider = {
  name: 'Zitadel',
  alg: 'RS256',
  discovery: {
    url: `${ORIGIN}/.well-known/openid-configuration`,
    document: {
      issuer: ORIGIN,
      authorization_endpoint: `${ORIGIN}/oauth/v2/authorize`,
      token_endpoint: `${ORIGIN}/oauth/v2/token`,
      introspection_endpoint: `${ORIGIN}/oauth/v2/introspect`,
      userinfo_endpoint: `${ORIGIN}/oidc/v1/userinfo`,
      revocation_endpoint: `${ORIGIN}/oauth/v2/revoke`,
      end_session_endpoint: `${ORIGIN}/oidc/v1/end_session`,
      device_authorization_endpoint: `${ORIGIN}/oauth/v2/device_authorization`,
      jwks_uri: `${ORIGIN}/oauth/v2/keys`,
      response_types_supported: ['code', 'id_token', 'id_token token'],
      response_modes_supported: ['query', 'fragment', 'form_post'],
      grant_types_supported: ['authorization_code', 'implicit', 'refresh_token', 'client_credentials'],
      id_token_signing_alg_values_supported: ['EdDSA', 'RS256', 'ES256'],
      request_object_signing_alg_values_supported: ['RS256'],
      request_parameter_supported: true,
      back_channel_logout_supported: true,
    },
  },
  jwks: `${ORIGIN}/oauth/v2/keys`,
  token: '/oauth/v2/token',
  accessTokens: [{ name: 'with the scope of the resource owner', header: { typ: 'JWT' }, claims }],
  organization: '69234230193872955',
  idToken: {
    iss: ORIGIN,
    sub: claims.sub,
    aud: [CLIENT, PROJECT],
    azp: CLIENT,
    client_id: CLIENT,
    nonce: 'n1',
  },
  refused: [
    {
      name: 'of another project',
      header: { typ: 'JWT' },
      claims: { ...claims, aud: ['other'], client_id: 'other' },
    },
  ],
  published: {
    issuer: 'https://auth.example.com',
    authorization_endpoint: 'https://auth.example.com/oauth/v2/authorize',
    token_endpoint: 'https://auth.example.com/oauth/v2/token',
  },
}
