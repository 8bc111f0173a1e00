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
import type { CiProvider } from '../config.ts'

/** The claims with the project and the person. */
const CLAIMS: Readonly<Record<CiProvider, { readonly project: string; readonly person: string }>> = {
  github: { project: 'repository', person: 'actor' },
  gitlab: { project: 'project_path', person: 'user_login' },
}

/** A login of GitHub, `[bot]` included, or GitLab. */
const LOGIN = /^[\w.-]{1,100}(?:\[bot\])?$/

/** `github:octocat`. Both systems ignore the case of logins and projects. @param projects - in lower case */
export function ciIdentity(
  payload: JWTPayload,
  provider: CiProvider,
  projects: ReadonlySet<string>,
): string | undefined {
  const claims = CLAIMS[provider]
  const [project, login] = [payload[claims.project], payload[claims.person]]
  if (typeof project !== 'string' || !projects.has(project.toLowerCase())) return undefined
  if (typeof login !== 'string' || !LOGIN.test(login)) return undefined
  return `${provider}:${login.toLowerCase()}`
}
