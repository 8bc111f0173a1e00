import { describe } from 'vitest'
import { chromiumPath, openBrowserApp } from './support/browser_app.ts'
import { tell } from './support/story.ts'

const skipped = chromiumPath ? '' : ' (skipped: there is no Chromium; CHROMIUM_PATH says where one is)'

describe.skipIf(!chromiumPath)(`in Chromium${skipped}`, () =>
  tell('@auth0/auth0-spa-js', {
    provider: 'auth0',
    deniesTokens: false,
    open: (provider, running) => openBrowserApp(running, 'auth0_spa_js', provider),
  }),
)
