// Where `scripts/tools` leaves the programs that only tests need: a list for `describeWith`, which skips by name what is missing.
import { execFileSync } from 'node:child_process'
import path from 'node:path'

const ROOT = path.resolve(import.meta.dirname, '../../..')

const folders = execFileSync(path.join(ROOT, 'scripts/tools'), ['path'], { encoding: 'utf8' }).trim().split(':')

/** The folder of a tool, which has its version behind a hyphen. */
function folderOf(tool: string): string {
  const folder = folders.find((each) => path.basename(each).startsWith(`${tool}-`))
  if (folder === undefined) throw new RangeError(`scripts/tools does not build ${tool}`)
  return folder
}

/** Calls CNI plugins as runtimes do (containernetworking/cni). */
export const CNITOOL = path.join(folderOf('cnitool'), 'cnitool')
/** Folder of containerd, its runc shim, and ctr. */
export const CONTAINERD_FOLDER = folderOf('containerd')
export const CONTAINERD = path.join(CONTAINERD_FOLDER, 'containerd')
export const CTR = path.join(CONTAINERD_FOLDER, 'ctr')
/** Docker archive of `POD_IMAGE`, whose only program is pod.c. */
export const POD_IMAGE_ARCHIVE = path.join(folderOf('image'), 'pod.tar')
export const POD_IMAGE = 'fibula.invalid/test/pod:1'
/** Where Debian's containernetworking-plugins puts its programs. */
export const DEBIAN_PLUGINS = '/usr/lib/cni'
/** One module builds both. */
export const KUBE_APISERVER = path.join(folderOf('kubernetes'), 'kube-apiserver')
export const ETCD = path.join(folderOf('kubernetes'), 'etcd')
/** Installs the chart. */
export const HELM = path.join(folderOf('helm'), 'helm')
