/**
 * The reference page: the OpenAPI document as plain HTML. Pure.
 *
 * It is rendered here rather than by a viewer in the browser, so that it needs no script and nothing leaves the machine;
 * its content security policy allows exactly that.
 */
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

const STYLE = `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}body{max-width:60rem;margin:2rem auto;
padding:0 1rem}code,pre{font:14px/1.4 ui-monospace,monospace}h2{margin-top:3rem}h3{margin:2rem 0 .25rem}
h3 code{font-size:1rem}table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .8rem .2rem 0;
vertical-align:top;border-top:1px solid #8884}.roles{opacity:.75}nav a{margin-right:1rem}`

const encoder = new TextEncoder()

export async function referencePage(document: Document): Promise<{ html: string; policy: string }> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', encoder.encode(STYLE)))
  const hash = btoa(String.fromCharCode(...digest))
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )
  const byTag = Map.groupBy(operations, ({ operation }) => operation.tags?.[0] ?? 'Other')
  const { title, version, description = '' } = document.info
  const html = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${text(title)}</title>
<meta name="viewport" content="width=device-width"><style>${STYLE}</style></head><body>
<h1>${text(title)} ${text(version)}</h1><p>${text(description)}</p><p><a href="/openapi.json">openapi.json</a></p>
<nav>${[...byTag.keys()].map((tag) => `<a href="#${slug(tag)}">${text(tag)}</a>`).join('')}
<a href="#schemas">Schemas</a></nav>
${[...byTag].map(([tag, all]) => `<h2 id="${slug(tag)}">${text(tag)}</h2>${all.map(section).join('')}`).join('')}
<h2 id="schemas">Schemas</h2>${Object.entries(document.components?.schemas ?? {})
    .map(([name, schema]) => `<h3 id="schema-${slug(name)}">${text(name)}</h3>${members(schema)}`)
    .join('')}
</body></html>`
  return {
    html,
    policy: `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  }
}

type Listed = { path: string; method: string; operation: Operation }

function section({ path, method, operation }: Listed): string {
  const { summary = '', description, parameters = [], requestBody, responses } = operation
  const body = Object.values(requestBody?.content ?? {})[0]?.schema
  const rows = parameters.map(
    ({ name, in: where, required, description: what = '', schema }) =>
      `<tr><td><code>${text(name)}</code></td><td>${text(where)}${required ? ', required' : ''}</td>
<td>${schema ? typeOf(schema) : ''} ${text(what)}</td></tr>`,
  )
  const answers = Object.entries(responses).map(([status, { description: what, content }]) => {
    const schema = Object.values(content ?? {})[0]?.schema
    return `<tr><td>${text(status)}</td><td>${text(what)}</td><td>${schema ? typeOf(schema) : ''}</td></tr>`
  })
  return `<section><h3><code>${method.toUpperCase()} ${text(path)}</code></h3><p>${text(summary)}</p>
${description ? `<p>${text(description)}</p>` : ''}
<p class="roles">Roles: ${(operation['x-remint-roles'] ?? []).map(text).join(', ')}</p>
${rows.length > 0 ? `<table>${rows.join('')}</table>` : ''}${body ? `<h4>Body</h4>${members(body)}` : ''}
<h4>Answers</h4><table>${answers.join('')}</table></section>`
}

function members(schema: Schema): string {
  if (!schema.properties) return `<p>${typeOf(schema)}</p>`
  const rows = Object.entries(schema.properties).map(
    ([name, member]) =>
      `<tr><td><code>${text(name)}</code>${schema.required?.includes(name) ? '' : ' (optional)'}</td>
<td>${typeOf(member)}</td><td>${text(member.description ?? '')}</td></tr>`,
  )
  return `<table>${rows.join('')}</table>`
}

function typeOf(schema: Schema): string {
  const name = schema.$ref?.split('/').at(-1)
  if (name !== undefined) return `<a href="#schema-${slug(name)}">${text(name)}</a>`
  if (schema.enum)
    return schema.enum.map((value) => `<code>${text(JSON.stringify(value))}</code>`).join(' | ')
  if (schema.items) return `array of ${typeOf(schema.items)}`
  const variants = schema.anyOf ?? schema.allOf
  if (variants) return variants.map(typeOf).join(' | ')
  return text([schema.type ?? 'any'].flat().join(' | '))
}

const slug = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]+/g, '-')

const ESCAPED: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

const text = (value: string): string => value.replace(/[&<>"']/g, (character) => ESCAPED[character] as string)
