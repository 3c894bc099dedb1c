// Where `scripts/tools` leaves the programs that only tests need: a list for `describeWith`, which skips by name what is missing.
import { execFileSync } from 'node:child_process'
import path from 'node:path'

const ROOT = path.resolve(import.meta.dirname, '../../..')

function folders(): readonly [cnitool: string, containerd: string, image: string] {
  const [cnitool = '', containerd = '', image = ''] = execFileSync(path.join(ROOT, 'scripts/tools'), ['path'], { encoding: 'utf8' })
    .trim()
    .split(':')
  return [cnitool, containerd, image]
}

const [cnitoolFolder, containerdFolder, imageFolder] = folders()

/** Calls CNI plugins as runtimes do (containernetworking/cni). */
export const CNITOOL = path.join(cnitoolFolder, 'cnitool')
/** Folder of containerd, its runc shim, and ctr. */
export const CONTAINERD_FOLDER = containerdFolder
export const CONTAINERD = path.join(containerdFolder, 'containerd')
export const CTR = path.join(containerdFolder, 'ctr')
/** Docker archive of `POD_IMAGE`, whose only program is pod.c. */
export const POD_IMAGE_ARCHIVE = path.join(imageFolder, 'pod.tar')
export const POD_IMAGE = 'fibula.invalid/test/pod:1'
/** Where Debian's containernetworking-plugins puts its programs. */
export const DEBIAN_PLUGINS = '/usr/lib/cni'
