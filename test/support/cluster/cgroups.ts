// A cgroup for each node, made by hand where the kernel has version 1 of them: a kubelet takes what is there. Names begin with
// `fibula-cluster-`; test/cluster/run.sh removes them when the cluster is gone, also one that ended without a goodbye.
import fs from 'node:fs'
import path from 'node:path'

const ROOT = '/sys/fs/cgroup'

/** Makes the cgroup and returns its path as a kubelet wants it. */
export function makeCgroup(...names: readonly string[]): string {
  if (fs.existsSync(path.join(ROOT, 'cgroup.controllers'))) makeUnified(names)
  else for (const controller of fs.readdirSync(ROOT)) if (controller !== 'unified') makeBelow(path.join(ROOT, controller), names)
  return `/${names.join('/')}`
}

/**
 * Removes all cgroups below one that `makeCgroup` returned, as a reboot would: a kubelet asks for seconds about each container whose cgroup it
 * finds, and registers its node only after that. Throws as long as there is a process in one of them.
 */
export function clearCgroup(cgroup: string): void {
  const isUnified = fs.existsSync(path.join(ROOT, 'cgroup.controllers'))
  const roots = isUnified ? [ROOT] : fs.readdirSync(ROOT).map((controller) => path.join(ROOT, controller))
  for (const root of roots) {
    const folder = path.join(root, cgroup)
    if (fs.lstatSync(root).isSymbolicLink() || !fs.existsSync(folder)) continue
    for (const below of foldersIn(folder)) removeTree(below)
  }
}

function removeTree(folder: string): void {
  for (const below of foldersIn(folder)) removeTree(below)
  fs.rmdirSync(folder) // its files go with it
}

function foldersIn(folder: string): readonly string[] {
  const entries = fs.readdirSync(folder, { withFileTypes: true })
  return entries.filter((each) => each.isDirectory()).map(({ name }) => path.join(folder, name))
}

function makeBelow(controller: string, names: readonly string[]): void {
  if (!fs.existsSync(path.join(controller, 'tasks')) || fs.lstatSync(controller).isSymbolicLink()) return // cpu,cpuacct has two names
  let folder = controller
  for (const name of names) {
    const parent = folder
    folder = path.join(parent, name)
    fs.mkdirSync(folder, { recursive: true })
    if (!fs.existsSync(path.join(folder, 'cpuset.cpus'))) continue
    // A new cpuset is empty, and takes no process.
    for (const file of ['cpuset.cpus', 'cpuset.mems']) fs.writeFileSync(path.join(folder, file), fs.readFileSync(path.join(parent, file)))
    fs.writeFileSync(path.join(folder, 'cgroup.clone_children'), '1')
  }
}

function makeUnified(names: readonly string[]): void {
  let folder = ROOT
  for (const name of names) {
    for (const controller of fs.readFileSync(path.join(folder, 'cgroup.controllers'), 'utf8').trim().split(' '))
      fs.writeFileSync(path.join(folder, 'cgroup.subtree_control'), `+${controller}`)
    folder = path.join(folder, name)
    fs.mkdirSync(folder, { recursive: true })
  }
}
