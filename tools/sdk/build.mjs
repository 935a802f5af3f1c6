// Checks the types of sdk/js and writes sdk/js/dist: one file for pages and one for those with Altertable's snippet, one module, and its types.
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const here = dirname(fileURLToPath(import.meta.url))
const sdk = join(here, '../../sdk/js')
const dist = join(sdk, 'dist')

rmSync(dist, { recursive: true, force: true })
execFileSync(process.execPath, [join(here, 'node_modules/typescript/bin/tsc'), '-p', sdk], { stdio: 'inherit' })
const common = { bundle: true, target: 'es2022', legalComments: 'none', absWorkingDir: sdk }
for (const [from, to] of [['tag', 'weir'], ['altertable', 'altertable']]) {
  await build({ ...common, entryPoints: [`src/${from}.ts`], outfile: join(dist, `${to}.js`), format: 'iife', minify: true })
}
await build({ ...common, entryPoints: ['src/index.ts'], outfile: join(dist, 'index.js'), format: 'esm' })
