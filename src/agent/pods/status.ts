// What people are shown of pods and addresses (pure).
import type { Attachment } from '../../cni/index.ts'
import type { IpamConfig, IpamView } from '../../ipam/index.ts'
import { formatIp, formatPrefix } from '../../net/index.ts'
import type { IpamStatus, PodStatus } from '../control-api.ts'

/** In order of namespace, name, container and interface. */
export function podStatuses(attachments: readonly Attachment[]): readonly PodStatus[] {
  const keyed = attachments.map((each) => ({ key: sortKey(each), status: podStatus(each) }))
  return keyed.sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ status }) => status)
}

function podStatus({ network, link, pod, assignments, state, since }: Attachment): PodStatus {
  return {
    namespace: pod?.namespace ?? null,
    name: pod?.name ?? null,
    uid: pod?.uid ?? null,
    network,
    containerId: link.containerId,
    interface: link.ifName,
    hostInterface: link.hostInterface,
    netns: link.netns,
    addresses: assignments.map(({ address, pool, block, isBorrowed }) => ({
      address: formatIp(address),
      pool,
      block: formatPrefix(block),
      borrowed: isBorrowed,
    })),
    state,
    since,
  }
}

function sortKey({ link, pod }: Attachment): string {
  return [pod?.namespace ?? '', pod?.name ?? '', link.containerId, link.ifName].join('\0')
}

export function ipamStatus(config: IpamConfig | null, view: IpamView, notReadyBecause: string | null): IpamStatus {
  const reserved = new Map(view.reserve.map(({ pool, addresses }) => [pool, addresses]))
  return {
    ready: notReadyBecause === null,
    notReadyBecause,
    hasSynced: view.hasSynced,
    pools: (config?.pools ?? []).map(({ name, range, blockSize, selectsNode, disabled, assignmentMode, forWorkloads }) => ({
      name,
      cidr: formatPrefix(range),
      blockSize,
      selectsNode,
      disabled,
      assignmentMode,
      forWorkloads,
      reserve: reserved.get(name) ?? 0,
    })),
    blocks: view.blocks.map(({ block, ...counts }) => ({ cidr: formatPrefix(block), ...counts })),
    borrowed: view.borrowed.map(({ address, block, owner, handle }) => ({
      address: formatIp(address),
      block: formatPrefix(block),
      owner,
      handle,
    })),
    allocations: view.allocations,
    unwritten: view.unwritten,
  }
}
