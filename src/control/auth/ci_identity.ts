/**
 * The claims of a CI system's identity token -> who started the pipeline. Pure.
 *
 * Anybody can get a token of a public CI system for any audience, from a repository of their own, and even in the name of
 * somebody who only pressed a star there. So the repository must be one of the configured ones.
 *
 * @see https://docs.github.com/en/actions/reference/security/oidc
 * @see https://docs.gitlab.com/ci/secrets/id_token_authentication/
 */
import type { JWTPayload } from 'jose'

export const CI_PROVIDERS = ['github', 'gitlab'] as const
export type CiProvider = (typeof CI_PROVIDERS)[number]

interface Claims {
  readonly issuer: string
  readonly project: string
  readonly person: string
}

export const CI_CLAIMS: Readonly<Record<CiProvider, Claims>> = {
  github: {
    issuer: 'https://token.actions.githubusercontent.com',
    project: 'repository',
    person: 'actor',
  },
  gitlab: { issuer: 'https://gitlab.com', project: 'project_path', person: 'user_login' },
}

/** A login of GitHub, `[bot]` included, or GitLab. */
const LOGIN = /^[\w.-]{1,100}(?:\[bot\])?$/

/** `github:octocat`. Both systems ignore the case of logins and projects. @param projects - in lower case */
export function ciIdentity(
  payload: JWTPayload,
  provider: CiProvider,
  projects: ReadonlySet<string>,
): string | undefined {
  const claims = CI_CLAIMS[provider]
  const [project, login] = [payload[claims.project], payload[claims.person]]
  if (typeof project !== 'string' || !projects.has(project.toLowerCase())) return undefined
  if (typeof login !== 'string' || !LOGIN.test(login)) return undefined
  return `${provider}:${login.toLowerCase()}`
}
