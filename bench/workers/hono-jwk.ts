/**
 * The other way to guard a route on Workers: `hono/jwk` as its documentation shows it, keys by URL. It refuses
 * `typ: at+jwt`, so it is given the same tokens as `typ: JWT`.
 */
import { Hono } from 'hono'
import { jwk } from 'hono/jwk'

interface Env {
  JWKS_URI: string
}

const app = new Hono<{ Bindings: Env; Variables: { jwtPayload: { sub: string } } }>()

app.use('/guarded', jwk({ jwks_uri: (c) => c.env.JWKS_URI, alg: ['ES256'] }))
app.get('/guarded', (c) => c.json({ sub: c.get('jwtPayload').sub }))

export default app
