// Container images without a registry: archives that `scripts/tools` and `scripts/image` make, imported into each node.
import { exec } from '../../../src/lib/exec.ts'
import { toolPath } from '../tools/index.ts'

/** An archive for `ctr images import` and the first name in it. */
export type ImageArchive = { readonly file: string; readonly name: string }

export async function readArchive(file: string): Promise<ImageArchive> {
  const manifest = await exec('tar', ['-xOf', file, './manifest.json'])
  const [image] = JSON.parse(manifest.stdout) as readonly { readonly RepoTags: readonly string[] }[]
  const name = image?.RepoTags[0]
  if (name === undefined) throw new Error(`${file} holds no image with a name`)
  return { file, name }
}

/** Upstream's images, under the names its end-to-end suite asks for. */
export async function upstreamImages(): Promise<{ readonly pause: ImageArchive; readonly agnhost: ImageArchive }> {
  const [pause, agnhost] = await Promise.all(['pause.tar', 'agnhost.tar'].map((each) => readArchive(toolPath(each))))
  if (pause === undefined || agnhost === undefined) throw new Error('two were asked for')
  return { pause, agnhost }
}
