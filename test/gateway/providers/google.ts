import type { Provider } from './provider.ts'

const ISSUER = 'https://accounts.google.com'
const CLIENT = '1234567890-abc.apps.googleusercontent.com'

/** Access tokens are opaque and for Google's APIs: only the ID token can be signed again. */
export const google: Provider = {
  name: 'Google',
  alg: 'RS256',
  discovery: {
    url: `${ISSUER}/.well-known/openid-configuration`,
    document: {
      issuer: ISSUER,
      authorization_endpoint: `${ISSUER}/o/oauth2/v2/auth`,
      device_authorization_endpoint: 'https://oauth2.googleapis.com/device/code',
      token_endpoint: 'https://oauth2.googleapis.com/token',
      userinfo_endpoint: 'https://openidconnect.googleapis.com/v1/userinfo',
      revocation_endpoint: 'https://oauth2.googleapis.com/revoke',
      jwks_uri: 'https://www.googleapis.com/oauth2/v3/certs',
      response_types_supported: ['code', 'token', 'id_token', 'code token', 'none'],
      response_modes_supported: ['query', 'fragment', 'form_post'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['RS256'],
      code_challenge_methods_supported: ['plain', 'S256'],
      grant_types_supported: ['authorization_code', 'refresh_token'],
    },
  },
  jwks: 'https://www.googleapis.com/oauth2/v3/certs',
  token: '/token',
  accessTokens: ['ya29.a0AeDClZAopaque'],
  organization: 'acme.example',
  idToken: {
    iss: ISSUER,
    azp: CLIENT,
    aud: CLIENT,
    sub: '10769150350006150715113082367',
    hd: 'acme.example',
    nonce: 'n1',
  },
  refused: [],
  published: {
    issuer: 'https://auth.example.com',
    token_endpoint: 'https://auth.example.com/token',
    authorization_endpoint: 'https://auth.example.com/o/oauth2/v2/auth',
  },
}
