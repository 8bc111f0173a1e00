/**
 * The layout of `src` as a checker over file contents: who may import whom, and where the outside world may be touched.
 * Pure; `layout.test.ts` runs it on the real files and on planted ones. CONTRIBUTING.md explains the two tables.
 *
 * It reads the syntax tree, types included, rather than text, so that comments, strings and members of the same name do
 * not count. It does not follow aliases (`const now = Date.now` is found, a later `now()` is not).
 */
import { posix } from 'node:path'
import { parseAst } from 'vitest/node'

/** What each part of `src` may import, besides itself and packages. `src/*.ts` are the package's entries. */
const PARTS: Record<string, readonly string[]> = {
  core: [],
  gateway: ['core'],
  control: ['core'],
  guard: ['core'],
  client: ['core'],
  testing: ['core'],
  entry: ['core', 'gateway', 'guard', 'client', 'testing'],
}

/** The parts that are Workers, each with the modules in which its features (its folders) meet. */
const WORKERS: Record<string, readonly string[]> = {
  gateway: [...['worker.ts', 'rpc.ts', 'refresh_session.ts', 'app.ts', 'gateway.ts'], 'handlers/'],
  control: ['worker.ts', 'app.ts', 'after_commit.ts'],
}

/**
 * The folders of a Worker that its features stand on, each of which may use those before it. The gateway's: HTTP, keys,
 * documents. The control plane's: the tables, what a row means, who gains or loses what, who is asking, how a write is
 * committed, what needs approval, and how a route is made. Their own routes stand above all of them.
 */
const FOUNDATIONS: Record<string, readonly string[]> = {
  gateway: ['http', 'signing_keys', 'documents'],
  control: ['db', 'entities', 'effects', 'auth', 'ledger', 'change_requests', 'http'],
}

/** The types, never values, that one feature or shared module may take from another: `feature: [from, …]`. */
const SHARED_TYPES: Record<string, readonly string[]> = {
  'gateway/pipeline': ['profiles', 'sessions'],
  'gateway/proxy': ['profiles'],
  'gateway/sessions': ['pipeline', 'profiles'],
  'gateway/config.ts': ['sessions'],
  'gateway/log.ts': ['sessions'],
  'control/http': ['contract_sync'],
}

/** Packages that `core` may use; the others may use what package.json lists as `dependencies`. */
const CORE_PACKAGES = ['zod', 'jose']

/** What a Worker that is no part of the published package bundles besides. */
const WORKER_PACKAGES: Record<string, readonly string[]> = {
  control: ['@hono/zod-openapi', 'canonicalize', 'drizzle-orm', 'stripe'],
}

type Edge = 'clock' | 'fetch' | 'binding' | 'console'

/** The only files that touch the outside world; everything else is handed a clock, a fetcher, a store. */
const EDGES: Record<Edge, RegExp> = {
  clock:
    /^src\/(gateway\/(app|handlers\/request_context|worker|refresh_session)|control\/(app|worker)|(guard|testing)\/index)\.ts$/,
  fetch:
    /^src\/(gateway\/(app|handlers\/request_context|worker|refresh_session)|control\/(app|worker)|guard\/index)\.ts$/,
  binding: /^src\/((gateway|control)\/(config|app|worker|refresh_session)\.ts|control\/db\/.+\.ts)$/,
  console: /^src\/(gateway|control)\/log\.ts$/,
}

const BINDING_TYPES = ['KVNamespace', 'D1Database', 'DurableObjectNamespace', 'DurableObjectStorage', 'Queue']

export interface Violation {
  file: string
  rule: 'import' | Edge
  what: string
}

interface Node {
  type: string
  [member: string]: unknown
}

/**
 * @param files - content by path, from the repository's root: `src/core/result.ts`
 * @param packages - the package names that `src` may import
 */
export function check(files: Record<string, string>, packages: readonly string[]): Violation[] {
  return Object.entries(files).flatMap(([file, source]) => {
    const tree = parseAst(source, { lang: 'ts' }) as unknown as Node
    const imports = importsOf(tree).flatMap((found) => importProblem(file, found, packages) ?? [])
    const touched = touchesOf(tree).filter(({ edge }) => !EDGES[edge].test(file))
    return [
      ...imports.map((what) => ({ file, rule: 'import' as const, what })),
      ...touched.map(({ edge, what }) => ({ file, rule: edge, what })),
    ]
  })
}

interface Import {
  source: string | undefined
  typeOnly: boolean
}

function importsOf(tree: Node): Import[] {
  const found: Import[] = []
  walk(tree, (node) => {
    const source = (node.source as Node | null | undefined)?.value as string | undefined
    switch (node.type) {
      case 'ImportDeclaration':
      case 'ExportNamedDeclaration':
      case 'ExportAllDeclaration': {
        if (!node.source) return
        const specifiers = (node.specifiers ?? []) as Node[]
        const kinds = specifiers.map((specifier) => specifier.importKind ?? specifier.exportKind)
        const allTypes = kinds.length > 0 && kinds.every((kind) => kind === 'type')
        found.push({ source, typeOnly: allTypes || [node.importKind, node.exportKind].includes('type') })
        return
      }
      case 'ImportExpression':
        found.push({ source, typeOnly: false })
        return
      case 'TSImportType':
        found.push({ source, typeOnly: true })
    }
  })
  return found
}

function importProblem(
  file: string,
  { source, typeOnly }: Import,
  packages: readonly string[],
): string | undefined {
  const from = placeOf(file)
  if (source === undefined) return 'imports a path that is computed'
  if (!source.startsWith('.')) {
    const name = source.split('/', source.startsWith('@') ? 2 : 1).join('/')
    const bundled = [...packages, ...(WORKER_PACKAGES[from.part] ?? []), 'cloudflare:workers']
    const allowed = from.part === 'core' ? CORE_PACKAGES : bundled
    return allowed.includes(name) ? undefined : `imports the package ${source}`
  }
  const target = posix.join(posix.dirname(file), source)
  const to = placeOf(target)
  if (!target.startsWith('src/')) return `imports ${target}, which is not part of src`
  if (from.part !== to.part) {
    return PARTS[from.part]?.includes(to.part) ? undefined : `${from.part} imports ${to.part}: ${target}`
  }
  const meetingPlaces = WORKERS[from.part]
  const isMeetingPlace = (rest: string) =>
    meetingPlaces?.some((place) => (place.endsWith('/') ? rest.startsWith(place) : rest === place))
  if (!meetingPlaces || isMeetingPlace(from.rest)) return undefined
  if (isMeetingPlace(to.rest)) return `imports ${target}, where features meet`
  if (to.feature === undefined || to.feature === from.feature) return undefined
  const foundations = FOUNDATIONS[from.part] ?? []
  const level = ({ feature = '', rest }: Place) =>
    foundations.includes(feature) && !ROUTES.test(rest) ? foundations.indexOf(feature) : Infinity
  if (from.feature !== undefined && level(to) < level(from)) return undefined
  const shared = typeOnly && SHARED_TYPES[`${from.part}/${from.feature ?? from.rest}`]?.includes(to.feature)
  return shared
    ? undefined
    : `${from.feature ?? 'a shared module'} imports the feature ${to.feature}: ${target}`
}

/** The routes of a foundation: `routes.ts`, `policy_routes.ts`. */
const ROUTES = /(\/|_)routes\.ts$/

interface Place {
  readonly part: string
  readonly feature: string | undefined
  readonly rest: string
}

/** `src/gateway/proxy/proxy.ts` is part `gateway`, feature `proxy`. */
function placeOf(file: string): Place {
  const [, part = '', ...rest] = file.split('/')
  if (rest.length === 0) return { part: 'entry', feature: undefined, rest: part }
  return { part, feature: rest.length > 1 ? rest[0] : undefined, rest: rest.join('/') }
}

function touchesOf(tree: Node): { edge: Edge; what: string }[] {
  const found: { edge: Edge; what: string }[] = []
  walk(tree, (node, scope) => {
    if (node.type === 'TSTypeReference') {
      const name = (node.typeName as Node).name as string
      if (BINDING_TYPES.includes(name)) found.push({ edge: 'binding', what: name })
    }
    if (node.type === 'MemberExpression' && !node.computed) {
      const path = `${(node.object as Node).name}.${(node.property as Node).name}`
      const edge = { 'Date.now': 'clock', 'performance.now': 'clock', 'globalThis.fetch': 'fetch' }[path]
      if (edge) found.push({ edge: edge as Edge, what: path })
    }
    const isDate =
      ['NewExpression', 'CallExpression'].includes(node.type) && (node.callee as Node).name === 'Date'
    if (isDate && (node.arguments as Node[]).length === 0) found.push({ edge: 'clock', what: 'new Date()' })
    if (
      node.type === 'Identifier' &&
      (node.name === 'fetch' || node.name === 'console') &&
      !scope.has(node.name)
    ) {
      found.push({ edge: node.name, what: node.name })
    }
  })
  return found
}

/** Members that hold names, not references: `a.fetch`, `{ fetch: … }`, `class { fetch() {} }`, types. */
function references(node: Node): [string, unknown][] {
  return Object.entries(node).filter(([member]) => {
    if (node.type.startsWith('TS') && node.type.endsWith('Signature')) return member !== 'key'
    if (node.type === 'TSTypeQuery') return false
    if (member === 'property') return node.type !== 'MemberExpression' || node.computed === true
    if (member === 'key') return node.computed === true
    return true
  })
}

/** Visits every node with the names that the functions and blocks around it declare. */
function walk(
  node: Node,
  visit: (node: Node, scope: ReadonlySet<string>) => void,
  outer: ReadonlySet<string> = new Set(),
) {
  const opensScope = Array.isArray(node.params) || ['BlockStatement', 'Program'].includes(node.type)
  const scope = opensScope ? new Set([...outer, ...declaredIn(node)]) : outer
  visit(node, scope)
  for (const [, value] of references(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (isNode(child)) walk(child, visit, scope)
    }
  }
}

function declaredIn(node: Node): string[] {
  if (Array.isArray(node.params)) return node.params.flatMap((param) => namesOf(param as Node))
  const statements = (node.body as Node[]).map(
    (statement) => (statement.declaration as Node | null) ?? statement,
  )
  return statements.flatMap((statement) => {
    const declared = [statement.id, ...((statement.declarations ?? []) as Node[]).map(({ id }) => id)]
    const imported = ((statement.specifiers ?? []) as Node[]).map(({ local }) => local)
    return [...declared, ...imported].flatMap((pattern) => (isNode(pattern) ? namesOf(pattern) : []))
  })
}

/** The names that a parameter or a destructuring pattern binds. */
function namesOf(pattern: Node): string[] {
  if (pattern.type === 'Identifier') return [pattern.name as string]
  const inner = [pattern.left, pattern.argument, pattern.value, pattern.parameter]
  const many = [...((pattern.properties ?? []) as Node[]), ...((pattern.elements ?? []) as Node[])]
  return [...inner, ...many].flatMap((child) => (isNode(child) ? namesOf(child) : []))
}

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && typeof (value as Node).type === 'string'
