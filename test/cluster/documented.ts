// Commands of the documents, taken out of them and run as a person would: in a shell, in the checkout, with an administrator's
// kubeconfig. What a reader has to fill in (words in capitals) is filled in here, and nothing else is changed.
import fs from 'node:fs'
import path from 'node:path'
import type { ExecOutput } from '../../src/lib/exec.ts'
import { type Cluster, PATIENCE_MS } from '../support/cluster/index.ts'
import { HELM, toolPath } from '../support/tools/index.ts'

const ROOT = path.resolve(import.meta.dirname, '../..')

/** The fenced block of a document, by how it begins. */
export function block(document: string, beginning: string): string {
  const page = fs.readFileSync(path.join(ROOT, document), 'utf8')
  const blocks = [...page.matchAll(/^```[a-z]*\n([\s\S]*?)^```$/gm)].map(([, text = '']) => text)
  const found = blocks.find((text) => text.startsWith(beginning))
  if (found === undefined) throw new Error(`${document} has no block that begins with ${beginning}`)
  return found
}

/** Puts values where a reader has to; every word must be there, so that a document that changed is noticed. */
export function fillIn(text: string, values: Readonly<Record<string, string>>): string {
  return Object.entries(values).reduce((filled, [word, value]) => {
    const pattern = new RegExp(`\\b${word}\\b`, 'g')
    if (!pattern.test(filled)) throw new Error(`the document does not ask for ${word} any more`)
    return filled.replace(pattern, value)
  }, text)
}

/** The commands of a block that shows them with a prompt, without their remarks. */
export function prompted(text: string): readonly string[] {
  return [...text.matchAll(/^\$ (.*?)(?:\s+#.*)?$/gm)].map(([, command = '']) => command)
}

/** Runs a block to its end, stopping at the first command that fails. `kubectl fibula` is there as the documents say. */
export function runBlock(cluster: Cluster, text: string): Promise<ExecOutput> {
  const folders = [path.join(ROOT, 'bin'), path.dirname(toolPath('kubectl')), path.dirname(HELM), process.env['PATH']]
  return cluster.run(['sh', '-eu', '-c', text], { cwd: ROOT, env: { PATH: folders.join(':') }, timeoutMs: 2 * PATIENCE_MS })
}
