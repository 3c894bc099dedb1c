// Starts a cluster with the network that is asked for, ready for pods; or, for whoever installs Fibula himself, without one.
import { Cluster, type ClusterOptions } from '../support/cluster/index.ts'
import { fibulaImage, installFibula } from './install.ts'

type Options = Omit<ClusterOptions, 'network' | 'images'>
export type StartOptions = Options & { readonly network: 'fibula' | 'bridge' }

export async function startCluster({ network, ...options }: StartOptions): Promise<Cluster> {
  if (network === 'bridge') return Cluster.start({ ...options, network })
  const { cluster, image } = await startEmptyCluster(options)
  try {
    options.progress('chart')
    await addFibula(cluster, image, options.dns)
    return cluster
  } catch (cause) {
    await cluster[Symbol.asyncDispose]()
    throw cause
  }
}

/** Every node is registered, none is ready: there is no network. The image of Fibula is on all of them. */
export async function startEmptyCluster(options: Options): Promise<{ readonly cluster: Cluster; readonly image: string }> {
  options.progress('image of Fibula')
  const image = await fibulaImage()
  return { cluster: await Cluster.start({ ...options, network: 'none', images: [image.file] }), image: image.name }
}

/** Installs Fibula for two racks on a cluster without a network; resolves when it is ready for pods. */
export async function addFibula(cluster: Cluster, image: string, dns: boolean): Promise<void> {
  if (dns) await cluster.startDns()
  await installFibula(cluster, image)
  await cluster.ready()
}
