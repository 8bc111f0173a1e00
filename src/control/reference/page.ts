/**
 * The reference page: the OpenAPI document as plain HTML. Pure.
 *
 * It is rendered here rather than by a viewer in the browser, so that it needs no script and nothing leaves the machine;
 * its content security policy allows exactly that.
 */
import { STYLE } from './style.ts'

interface Schema {
  $ref?: string
  type?: string | string[]
  description?: string
  enum?: unknown[]
  items?: Schema
  properties?: Record<string, Schema>
  required?: string[]
  anyOf?: Schema[]
  allOf?: Schema[]
  format?: string
  minimum?: number
  maximum?: number
  maxLength?: number
  maxItems?: number
  default?: unknown
  example?: unknown
}

interface Operation {
  tags?: string[]
  summary?: string
  description?: string
  parameters?: { name: string; in: string; required?: boolean; description?: string; schema?: Schema }[]
  requestBody?: { content: Record<string, { schema?: Schema }> }
  responses: Record<string, { description: string; content?: Record<string, { schema?: Schema }> }>
  'x-remint-roles'?: string[]
}

export interface Document {
  info: { title: string; version: string; description?: string }
  paths: Record<string, Record<string, Operation>>
  components?: { schemas?: Record<string, Schema> }
}

const encoder = new TextEncoder()

const MARK = `<svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true"><rect width="32" height="32" rx="9" fill="#0b6b4a"/>
<path d="M22.5 12.2A7.5 7.5 0 1 0 23.5 16" fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round"/>
<path d="M23.4 7.4v5.2h-5.2" fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round" stroke-linejoin="round"/>
<circle cx="16" cy="16" r="2.4" fill="#8ff0c5"/></svg>`

const FACTS: readonly [string, string][] = [
  [
    'Authenticate',
    '`Authorization: Bearer` with an access token or an API key. Each route names the roles that may use it.',
  ],
  ['Dry run', '`?dry_run=true` on any write shows who gains and who loses what, and changes nothing.'],
  ['Do not overwrite', '`If-Match` with the `ETag` that you read; 412 if the row has changed since.'],
  ['Retry', '`Idempotency-Key` on a write: a repeated request gets the first response again, for 24 hours.'],
  ['Pages', '`limit` up to 200, and `cursor` with the `next_cursor` of the previous page.'],
  ['Errors', 'RFC 9457. `code` is stable, for programs; `request_id` finds the log line.'],
]

type Listed = { path: string; method: string; operation: Operation }

export async function referencePage(document: Document): Promise<{ html: string; policy: string }> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', encoder.encode(STYLE)))
  const hash = btoa(String.fromCharCode(...digest))
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )
  const byTag = [...Map.groupBy(operations, ({ operation }) => operation.tags?.[0] ?? 'Other')]
  const schemas = Object.entries(document.components?.schemas ?? {})
  const { title, version, description = '' } = document.info
  const html = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${text(title)}: API reference</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="color-scheme" content="light dark">
<style>${STYLE}</style></head><body><a class="skip" href="#main">Skip to content</a><div class="page">
<header class="side"><a class="brand" href="/docs">${MARK}Remint <span>control plane</span></a>
<details><summary>All routes</summary>${navigation(byTag)}</details></header>
<main id="main" tabindex="-1"><div class="intro"><h1>${text(title)}</h1>
<p class="lead">${prose(description)} Version ${text(version)}; for programs: <a href="/openapi.json">openapi.json</a>.</p>
<dl class="facts">${FACTS.map(([term, what]) => `<div><dt>${term}</dt><dd>${prose(what)}</dd></div>`).join('')}</dl></div>
${byTag.map(([tag, all]) => `<section><h2 id="${slug(tag)}">${text(tag)}</h2>${all.map(article).join('')}</section>`).join('')}
<section><h2 id="schemas">Schemas</h2>${schemas
    .map(([name, schema]) => {
      const what = schema.description ? `<p class="what">${prose(schema.description)}</p>` : ''
      return `<article id="schema-${slug(name)}"><h3>${text(name)}</h3>${what}${members(schema)}</article>`
    })
    .join('')}</section>
</main></div></body></html>`
  return {
    html,
    policy: `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  }
}

const navigation = (byTag: readonly [string, Listed[]][]): string =>
  `<nav aria-label="Routes">${byTag
    .map(
      ([tag, all]) =>
        `<h2><a href="#${slug(tag)}">${text(tag)}</a></h2><ul>${all
          .map(
            (one) => `<li><a href="#${idOf(one)}">${badge(one)}<span>${prose(shortly(one))}</span></a></li>`,
          )
          .join('')}</ul>`,
    )
    .join('')}<h2><a href="#schemas">Schemas</a></h2></nav>`

const idOf = ({ method, path }: Listed): string => slug(`${method} ${path.replace('/api/v1', '')}`)
const badge = ({ method }: Listed): string =>
  `<span class="method ${text(method)}">${text(method.toUpperCase())}</span>`
/** Up to the first punctuation mark. */
const shortly = ({ operation, path }: Listed): string =>
  (operation.summary ?? path).split(/[,;:.]/)[0] as string

function article(listed: Listed): string {
  const { path, operation } = listed
  const { summary = '', description, parameters = [], requestBody, responses } = operation
  const body = Object.values(requestBody?.content ?? {})[0]?.schema
  const rows = parameters.map(({ name, in: where, required, description: what, schema }) =>
    row(name, required ? `${where}, required` : where, schema ?? {}, what),
  )
  const roles = (operation['x-remint-roles'] ?? []).map((role) => `<li>${text(role)}</li>`).join('')
  return `<article id="${idOf(listed)}"><h3>${prose(summary)}</h3>
<p class="route">${badge(listed)}<code>${text(path)}</code></p>${description ? `<p class="what">${prose(description)}</p>` : ''}
<ul class="roles"><li>Roles</li>${roles}</ul>
${rows.length > 0 ? `<h4>Parameters</h4><table>${rows.join('')}</table>` : ''}
${body?.properties && Object.keys(body.properties).length > 0 ? `<h4>Body</h4>${members(body)}` : ''}
<h4>Responses</h4><table>${Object.entries(responses).map(answer).join('')}</table></article>`
}

function answer([status, { description, content }]: [string, Operation['responses'][string]]): string {
  const schema = Object.values(content ?? {})[0]?.schema
  const what = schema?.properties
    ? `<details class="body"><summary>Members</summary>${members(schema)}</details>`
    : `<p class="type">${schema ? typeOf(schema) : ''}</p>`
  return `<tr><td><code>${text(status)}</code></td><td><p>${prose(description)}</p>${what}</td></tr>`
}

function members(schema: Schema): string {
  if (!schema.properties) return `<p class="what">${typeOf(schema)}</p>`
  const rows = Object.entries(schema.properties).map(([name, member]) =>
    row(name, schema.required?.includes(name) ? 'required' : 'optional', member, member.description),
  )
  return `<table>${rows.join('')}</table>`
}

function row(name: string, where: string, schema: Schema, what: string | undefined): string {
  const note =
    where === 'required' ? '<small class="required">required</small>' : `<small>${text(where)}</small>`
  const bounds = boundsOf(schema)
  return `<tr><td><code>${text(name)}</code>${note}</td><td><p class="type">${typeOf(schema)}</p>${
    what ? `<p>${prose(what)}</p>` : ''
  }${bounds ? `<p class="note">${bounds}</p>` : ''}</td></tr>`
}

/** Further constraints of the schema, in words. */
function boundsOf(schema: Schema): string {
  const value = (of: unknown) => `<code>${text(JSON.stringify(of))}</code>`
  const { minimum, maximum, maxLength, maxItems, default: unset, example } = schema
  return [
    minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER && `from ${minimum}`,
    maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER && `to ${maximum}`,
    maxLength !== undefined && `at most ${maxLength} characters`,
    maxItems !== undefined && `at most ${maxItems}`,
    unset !== undefined && `default ${value(unset)}`,
    example !== undefined && `such as ${value(example)}`,
  ]
    .filter((part) => part !== false)
    .join('; ')
}

function typeOf(schema: Schema): string {
  const name = schema.$ref?.split('/').at(-1)
  if (name !== undefined) return `<a href="#schema-${slug(name)}">${text(name)}</a>`
  if (schema.enum)
    return schema.enum.map((value) => `<code>${text(JSON.stringify(value))}</code>`).join(' or ')
  if (schema.items) return `array of ${typeOf(schema.items)}`
  const variants = schema.anyOf ?? schema.allOf
  if (variants) return variants.map(typeOf).join(' or ')
  if (schema.properties) {
    const inner = Object.entries(schema.properties).map(
      ([key, of]) => `<code>${text(key)}</code> ${typeOf(of)}`,
    )
    return `object of ${inner.join(', ')}`
  }
  const type = [schema.type ?? 'any'].flat().join(' or ')
  return text(schema.format === 'date-time' ? type.replace('string', 'instant') : type)
}

/** Text with `code` in backticks. */
const prose = (value: string): string => text(value).replace(/`([^`]+)`/g, '<code>$1</code>')

const slug = (name: string): string =>
  name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/-$/, '')

const ESCAPED: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

const text = (value: string): string => value.replace(/[&<>"']/g, (character) => ESCAPED[character] as string)
