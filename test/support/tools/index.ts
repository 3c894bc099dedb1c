// Where the programs are that only tests need, found or built by `scripts/tools`: a path for `describeWith`, which skips by name what
// is missing.
import { execFileSync } from 'node:child_process'
import path from 'node:path'

const ROOT = path.resolve(import.meta.dirname, '../../..')

const paths = new Map(
  execFileSync(path.join(ROOT, 'scripts/tools'), ['list'], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((line): [string, string] => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]),
)

/** Path of a tool by its name in `scripts/tools`, whether or not it is built. */
export function toolPath(tool: string): string {
  const found = paths.get(tool)
  if (found === undefined) throw new RangeError(`scripts/tools does not build ${tool}`)
  return found
}

/** Calls CNI plugins as runtimes do (containernetworking/cni). */
export const CNITOOL = toolPath('cnitool')
export const CONTAINERD = toolPath('containerd')
/** Folder of containerd, its runc shim, and ctr. */
export const CONTAINERD_FOLDER = path.dirname(CONTAINERD)
export const CTR = toolPath('ctr')
/** Docker archive of `POD_IMAGE`, whose only program is pod.c. */
export const POD_IMAGE_ARCHIVE = toolPath('pod.tar')
export const POD_IMAGE = 'fibula.invalid/test/pod:1'
/** Where Debian's containernetworking-plugins puts its programs. */
export const DEBIAN_PLUGINS = '/usr/lib/cni'
export const KUBE_APISERVER = toolPath('kube-apiserver')
export const ETCD = toolPath('etcd')
/** Installs the chart. */
export const HELM = toolPath('helm')
