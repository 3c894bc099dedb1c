// Puts the program as it ships into a folder: the launcher, the built program with the CNI plugin, the packages it needs at run
// time and the Node that package.json pins. The Dockerfile and scripts/image both take their files from here.
//   scripts/node scripts/image-files.mjs FOLDER       FOLDER is made and must be empty or not there
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const [folder] = process.argv.slice(2)
if (folder === undefined) fail('usage: scripts/node scripts/image-files.mjs FOLDER')
const to = resolve(folder)
if (existsSync(to) && readdirSync(to).length > 0) fail(`${folder} is not empty`)

/** What a package brings for people and for compilers, and nobody loads. */
const NEVER_LOADED = /(\.d\.[cm]?ts|\.map|\.md|\.markdown|\.flow|\.c|\.cc|\.cpp|\.h|\.gyp)$/
/** Native modules of other machines: netlink has a folder for each, koffi one package for each with two C libraries. */
const OTHER_MACHINES = new RegExp(`/(prebuilds/(?!linux-${process.arch}$)[^/]+|musl_[^/]+)$`)

mkdirSync(to, { recursive: true })
// Types are the business of `make check`: what ships here does not wait for them.
run(join(root, 'scripts/node'), ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json', '--noCheck', '--outDir', join(to, 'dist')])
run(join(root, 'scripts/build-shim.sh'), [join(to, 'dist/cni/fibula')])
run('find', [join(to, 'dist'), '-name', '*.map', '-delete'])

mkdirSync(join(to, 'bin'))
copyFileSync(join(root, 'bin/fibula'), join(to, 'bin/fibula'))
chmodSync(join(to, 'bin/fibula'), 0o755)
for (const name of ['package.json', 'crds']) cpSync(join(root, name), join(to, name), { recursive: true })

const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
for (const [path, { dev }] of Object.entries(packages)) {
  const from = join(root, path)
  if (path === '' || dev === true || !existsSync(from)) continue // an optional package of another machine is not there
  cpSync(from, join(to, path), { recursive: true, filter: (source) => isLoaded(from, source) })
}
mkdirSync(join(to, 'node_modules/node/bin'), { recursive: true })
copyFileSync(join(root, 'node_modules/node/bin/node'), join(to, 'node_modules/node/bin/node'))
chmodSync(join(to, 'node_modules/node/bin/node'), 0o755)
run(join(to, 'bin/fibula'), ['version']) // it starts with what is there

function isLoaded(packageFolder, source) {
  if (source === packageFolder) return true
  return basename(source) !== 'node_modules' && !NEVER_LOADED.test(source) && !OTHER_MACHINES.test(source) // nested ones have entries of their own
}

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  if (error !== undefined) fail(`${command}: ${error.message}`)
  if (status !== 0) fail(`${basename(command)} ended with ${status}`)
}

function fail(why) {
  console.error(`image-files: ${why}`)
  process.exit(1)
}
