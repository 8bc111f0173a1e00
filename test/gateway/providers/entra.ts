import type { Provider } from './provider.ts'

const ORIGIN = 'https://login.microsoftonline.com'
const TENANT = '6babcaad-604b-40ac-a9d7-9fd97c0b779f'
const API = '00001111-aaaa-2222-bbbb-3333cccc4444'
const CLIENT = '11112222-bbbb-3333-cccc-4444dddd5555'
const ISSUER = `${ORIGIN}/${TENANT}/v2.0`

const v2 = {
  aud: API,
  iss: ISSUER,
  aio: 'AXQAi/8IAAAA',
  azp: CLIENT,
  azpacr: '1',
  name: 'Ada Lovelace',
  oid: '690222be-ff1a-4d56-abd1-7e4f7d38e474',
  preferred_username: 'ada@acme.example',
  rh: 'I',
  scp: 'access_as_user',
  sub: 'HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ',
  tid: TENANT,
  uti: 'fqiBqXLPj0eQa82S-IYFAA',
  ver: '2.0',
}

/** One tenant. Which version of token an API gets is in its manifest, whatever endpoint was asked. */
export const entra: Provider = {
  name: 'Entra ID',
  alg: 'RS256',
  discovery: {
    url: `${ISSUER}/.well-known/openid-configuration`,
    document: {
      issuer: ISSUER,
      authorization_endpoint: `${ORIGIN}/${TENANT}/oauth2/v2.0/authorize`,
      token_endpoint: `${ORIGIN}/${TENANT}/oauth2/v2.0/token`,
      jwks_uri: `${ORIGIN}/${TENANT}/discovery/v2.0/keys`,
      userinfo_endpoint: 'https://graph.microsoft.com/oidc/userinfo',
      device_authorization_endpoint: `${ORIGIN}/${TENANT}/oauth2/v2.0/devicecode`,
      end_session_endpoint: `${ORIGIN}/${TENANT}/oauth2/v2.0/logout`,
      kerberos_endpoint: `${ORIGIN}/${TENANT}/kerberos`,
      response_modes_supported: ['query', 'fragment', 'form_post'],
      response_types_supported: ['code', 'id_token', 'code id_token', 'id_token token'],
      subject_types_supported: ['pairwise'],
      id_token_signing_alg_values_supported: ['RS256'],
      http_logout_supported: true,
      frontchannel_logout_supported: true,
      tenant_region_scope: 'EU',
      cloud_instance_name: 'microsoftonline.com',
    },
  },
  jwks: `${ORIGIN}/${TENANT}/discovery/v2.0/keys`,
  // Its keys name no algorithm, and an issuer.
  key: { alg: undefined, x5t: 'x', x5c: ['MIIC'], issuer: ISSUER },
  token: `/${TENANT}/oauth2/v2.0/token`,
  accessTokens: [
    { name: 'version 2.0', header: { typ: 'JWT' }, claims: v2 },
    {
      name: 'version 1.0',
      header: { typ: 'JWT', x5t: 'x' },
      claims: {
        ...{ aud: `api://${API}`, iss: `https://sts.windows.net/${TENANT}/`, ver: '1.0' },
        ...{ appid: CLIENT, appidacr: '1', acr: '1', amr: ['pwd'], unique_name: 'ada@acme.example' },
        ...{ oid: v2.oid, scp: v2.scp, sub: v2.sub, tid: TENANT, uti: v2.uti },
      },
    },
  ],
  organization: TENANT,
  idToken: { iss: ISSUER, aud: CLIENT, sub: v2.sub, oid: v2.oid, tid: TENANT, ver: '2.0', nonce: 'n1' },
  answer: { ext_expires_in: 3600 },
  lowered: { ext_expires_in: 300 },
  refused: [
    {
      name: 'for Microsoft Graph',
      header: { typ: 'JWT', nonce: 'x' },
      claims: { ...v2, aud: '00000003-0000-0000-c000-000000000000' },
    },
    {
      name: 'of another tenant',
      header: { typ: 'JWT' },
      claims: { ...v2, iss: `${ORIGIN}/other/v2.0`, tid: 'other' },
    },
  ],
  published: {
    issuer: 'https://auth.example.com',
    authorization_endpoint: `https://auth.example.com/${TENANT}/oauth2/v2.0/authorize`,
    token_endpoint: `https://auth.example.com/${TENANT}/oauth2/v2.0/token`,
    // Not at the provider's origin, and for Graph's tokens alone.
    userinfo_endpoint: 'https://graph.microsoft.com/oidc/userinfo',
  },
}
