/** What Vitest's global set-up hands to the tests inside workerd. */
import 'vitest'

declare module 'vitest' {
  interface ProvidedContext {
    /** The origin of the identity provider behind a real socket. */
    upstream: string
  }
}
