// `fibula version`: the version of this build.
import { readFileSync } from 'node:fs'
import type { Cli } from './options.ts'
import { print } from './output.ts'

/** The version in package.json, which lies two folders above this file in the sources as in the build. */
export function fibulaVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  const version = typeof manifest === 'object' && manifest !== null && 'version' in manifest ? manifest.version : undefined
  return typeof version === 'string' ? version : 'unknown'
}

export function addVersion(cli: Cli, describe: string): void {
  cli.command(
    'version',
    describe,
    (to) => to,
    ({ output }) =>
      print(output, { version: fibulaVersion(), node: process.versions.node }, ({ version, node }) => `fibula ${version} (Node ${node})\n`),
  )
}
