// A process that attaches one pod, checks, resizes and detaches it, and tells what each step said: to be run with fewer rights than
// a test has. Usage: node wire-main.ts NETNS ADDRESS…
import { PodLinks } from '../../../../src/cni/index.ts'
import { ip } from '../../../../src/net/index.ts'
import { settleThreadPool } from '../../../../src/sys/netns.ts'

const [netns = '', ...addresses] = process.argv.slice(2)
await settleThreadPool()
using links = new PodLinks()
const link = {
  containerId: 'c',
  ifName: 'eth0',
  netns,
  hostInterface: 'fib00000000001',
  mtu: 1500,
  mac: null,
  addresses: addresses.map(ip),
}
const attached = links.attach(link)
const rest = attached.ok
  ? {
      check: links.check(link),
      repair: links.repair(link),
      setMtu: links.setMtu(link, 1480),
      list: links.list(),
      detach: links.detach([link]),
    }
  : {}
process.stdout.write(JSON.stringify({ attached, ...rest, left: links.list() }))
