// Writes what the player of recordings is served from, and the recorder of the example, each with the licences of what is in it.
import { rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '../..')
const dist = join(root, 'internal/recording/player/dist')

const notice = `/*! Made of rrweb and rrweb-player 2.1.6, with Svelte, mitt, fflate, @xstate/fsm, base64-arraybuffer and postcss.
rrweb: Copyright (c) 2018 Contributors (https://github.com/rrweb-io/rrweb/graphs/contributors) and SmartX Inc. MIT License; the
text and those of the others are in tools/player/LICENSES.md. */`

rmSync(dist, { recursive: true, force: true })
const common = {
  bundle: true, minify: true, target: 'es2022', legalComments: 'none', absWorkingDir: root, format: 'iife', nodePaths: [join(here, 'node_modules')],
  banner: { js: notice, css: notice }, logLevel: 'warning'
}
await build({ ...common, entryPoints: ['internal/recording/player/src/player.js'], outfile: join(dist, 'player.js') })
await build({
  ...common, stdin: { contents: "export { record } from 'rrweb'", resolveDir: here }, globalName: 'rrweb', outfile: join(root, 'examples/recording/recorder.js')
})
