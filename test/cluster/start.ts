// Starts a cluster with the network that is asked for, ready for pods.
import { Cluster, type ClusterOptions } from '../support/cluster/index.ts'
import { fibulaImage, installFibula } from './install.ts'

export type StartOptions = Omit<ClusterOptions, 'network' | 'images'> & { readonly network: 'fibula' | 'bridge' }

export async function startCluster({ network, ...options }: StartOptions): Promise<Cluster> {
  if (network === 'bridge') return Cluster.start({ ...options, network })
  options.progress('image of Fibula')
  const image = await fibulaImage()
  const cluster = await Cluster.start({ ...options, network: 'none', images: [image.file] })
  try {
    options.progress('chart')
    await installFibula(cluster, image.name)
    await cluster.ready()
    return cluster
  } catch (cause) {
    await cluster[Symbol.asyncDispose]()
    throw cause
  }
}
