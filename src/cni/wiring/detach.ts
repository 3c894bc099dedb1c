// Taking links away. The kernel waits, for milliseconds, until no processor looks at a link any more; many links in one group are
// waited for once (unregister_netdevice_many).
import { changeLink, deleteLink, deleteLinkGroup, type LinkView, listLinks, type Rtnetlink, readLink } from '../../sys/rtnetlink/index.ts'
import { isHostInterface } from './gateway.ts'
import { messageOf } from './pod-namespace.ts'

/** IFLA_GROUP of links on their way out, `fib` in ASCII and a number: nobody else's by any likelihood, and looked at before. */
const CONDEMNED = 0x6669_6201

/** Host ends of pods, by what the kernel says. */
export function hostEnds(host: Rtnetlink): readonly LinkView[] {
  return host.list(listLinks(), readLink).filter(({ name, kind }) => isHostInterface(name) && kind === 'veth')
}

/** Removes host ends by name, and their pods' ends with them. Returns in words what could not be removed. */
export function removeHostEnds(host: Rtnetlink, names: readonly string[]): readonly string[] {
  const foreign = names.filter((name) => !isHostInterface(name))
  const ours = names.filter(isHostInterface)
  return [...foreign.map((name) => `${JSON.stringify(name)} is not a name of a host end`), ...remove(host, ours)]
}

function remove(host: Rtnetlink, names: readonly string[]): readonly string[] {
  if (names.length > 1 && removeAsGroup(host, names)) return []
  const refusals = host.batch(names.map(deleteLink))
  return refusals.flatMap((refusal) => (refusal === null || refusal.code === 'ENODEV' ? [] : [messageOf(refusal)]))
}

/** False: something was refused, or a link that is not one of these is in the group; then they go one by one. */
function removeAsGroup(host: Rtnetlink, names: readonly string[]): boolean {
  const refusals = host.batch(names.map((name) => changeLink(name, { group: CONDEMNED })))
  if (refusals.some((refusal) => refusal !== null && refusal.code !== 'ENODEV')) return false
  if (refusals.every((refusal) => refusal !== null)) return true // all gone already
  const wanted = new Set(names)
  if (host.list(listLinks(), readLink).some(({ name, group }) => group === CONDEMNED && !wanted.has(name))) return false
  const [refusal] = host.batch([deleteLinkGroup(CONDEMNED)])
  return refusal === null
}
