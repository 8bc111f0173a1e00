/** What `remint/guard` weighs in a bundle, and what it brings along. */
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { expect, test } from 'vitest'

const MAX_GZIP_BYTES = 12 * 1024

test('the guard weighs less than 12 KiB gzip without jose, and imports nothing else', async () => {
  const { outputFiles, metafile } = await build({
    entryPoints: ['src/guard/index.ts'],
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    external: ['jose'],
    write: false,
    metafile: true,
  })
  const [output] = Object.values(metafile.outputs)
  expect(new Set(output?.imports.map(({ path }) => path))).toEqual(new Set(['jose']))
  expect(Object.keys(metafile.inputs).filter((file) => !/^src\/(guard|core)\//.test(file))).toEqual([])
  expect(gzipSync(outputFiles[0]?.contents ?? '').byteLength).toBeLessThan(MAX_GZIP_BYTES)
})
