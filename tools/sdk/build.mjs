// Checks the types of sdk/js and writes sdk/js/dist: one file for pages, one module, and its types.
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
await build({ ...common, entryPoints: ['src/tag.ts'], outfile: join(dist, 'weir.js'), format: 'iife', minify: true })
await build({ ...common, entryPoints: ['src/index.ts'], outfile: join(dist, 'index.js'), format: 'esm' })
