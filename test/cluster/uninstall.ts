// docs/install.md, "Uninstall", as it stands: afterwards nothing of Fibula is on a node, in its kernel, or in the API.
import { type Cluster, type Node, PATIENCE_MS } from '../support/cluster/index.ts'
import { until, untilEqual } from '../support/poll.ts'
import { block, runBlock } from './documented.ts'
import { NAMESPACE } from './install.ts'

/** Kinds of which a release makes objects outside of its namespace. */
const CLUSTER_WIDE =
  'customresourcedefinitions,clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,priorityclasses'

/**
 * What bears Fibula's marks on a node, in the words of the tools: links, routes, rules of policy routing, chains, sets, files, programs.
 * The marks are those of docs/install.md.
 */
const LOOK = `ip -oneline link show | awk -F ': ' '$2 ~ /^fib/ { print "link " $2 }'
ip -4 route show table all proto 179 | sed 's/^/route /'
ip -6 route show table all proto 179 | sed 's/^/route /'
ip -4 rule show | grep -Ev '^(0|32766|32767):' | sed 's/^/rule /' || true
ip -6 rule show | grep -Ev '^(0|32766|32767):' | sed 's/^/rule /' || true
for tool in iptables-nft ip6tables-nft iptables-legacy ip6tables-legacy; do
  $tool-save 2>/dev/null | grep -E '\\bfib' | sed "s/^/$tool /" || true
done
ipset list -name | grep '^fib' | sed 's/^/set /' || true
find /etc/cni /opt/cni/bin -name '*fibula*' | sed 's/^/file /'
for each in /run/fibula /var/lib/fibula; do [ ! -d $each ] || find $each -mindepth 1 | sed 's/^/file /'; done
for each in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$each 2>/dev/null | grep -E '^[^ ]*node .*/opt/fibula/' | sed 's/^/program /' || true; done`

const KINDS = ['link', 'route', 'iptables-nft', 'ip6tables-nft', 'set', 'file', 'program']

async function traces(node: Node): Promise<readonly string[]> {
  const { stdout } = await node.exec(['sh', '-eu', '-c', LOOK])
  return stdout
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => `${node.name}: ${line}`)
}

/** Runs the commands and checks that nothing is left. */
export async function uninstallAsDocumented(cluster: Cluster): Promise<string> {
  let before: readonly string[] = []
  await until(
    'a trace of each kind is seen on some node: the look is not blind',
    async () => {
      before = (await Promise.all(cluster.nodes.map(traces))).flat()
      return KINDS.every((kind) => before.some((line) => line.includes(`: ${kind} `)))
    },
    { deadlineMs: PATIENCE_MS, everyMs: 500, explain: () => before.join('\n') },
  )
  const began = performance.now()
  await runBlock(cluster, block('docs/install.md', 'kubectl delete bgppeers'))
  const seconds = ((performance.now() - began) / 1000).toFixed(0)
  const options = { deadlineMs: PATIENCE_MS, everyMs: 500 }
  await untilEqual('no pod of Fibula is left', [], () => lines(cluster, ['get', 'pods', '--namespace', NAMESPACE, '-o', 'name']), options)
  await untilEqual('nodes bear no trace', [], async () => (await Promise.all(cluster.nodes.map(traces))).flat(), options)
  const named = async (): Promise<readonly string[]> =>
    (await lines(cluster, ['get', CLUSTER_WIDE, '-o', 'name'])).filter((line) => line.includes('fibula'))
  await untilEqual('the API bears no trace', [], named, options)
  return `${before.length} links, routes, chains, sets, files and programs on ${cluster.nodes.length} nodes, gone after ${seconds} s`
}

async function lines(cluster: Cluster, args: readonly string[]): Promise<readonly string[]> {
  return (await cluster.kubectl(args)).stdout.split('\n').filter((line) => line !== '')
}
