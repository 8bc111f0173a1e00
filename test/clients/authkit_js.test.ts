import { describe } from 'vitest'
import { chromiumPath, openBrowserApp } from './support/browser_app.ts'
import { tell } from './support/story.ts'

const skipped = chromiumPath ? '' : ' (skipped: there is no Chromium; CHROMIUM_PATH says where one is)'

describe.skipIf(!chromiumPath)(`in Chromium${skipped}`, () =>
  tell('@workos-inc/authkit-js', {
    provider: 'workos',
    deniesTokens: true,
    open: (provider, running) => openBrowserApp(running, 'authkit_js', provider),
  }),
)
