// Time of attach and detach against `ip -batch` doing the same, in one run. By hand, as root: test/netns/cni/wiring/measure.sh
import { execFileSync } from 'node:child_process'
import type { PodLink } from '../../../../src/cni/index.ts'
import { PodLinks } from '../../../../src/cni/index.ts'
import { ip } from '../../../../src/net/index.ts'
import { settleThreadPool } from '../../../../src/sys/netns.ts'

const COUNT = 50
const hex = (n: number): string => n.toString(16).padStart(11, '0')
const linkOf = (n: number): PodLink => ({
  containerId: `pod${n}`,
  ifName: 'eth0',
  netns: `/run/netns/p${n}`,
  hostInterface: `fib${hex(n)}`,
  addresses: [ip(`10.77.0.${n + 1}`), ip(`fd77::${(n + 1).toString(16)}`)],
  mtu: 1500,
  mac: null,
})

function batch(args: readonly string[], lines: readonly string[]): void {
  execFileSync('ip', [...args, '-batch', '-'], { input: `${lines.join('\n')}\n` })
}

function byIp(n: number): void {
  const name = `fib${hex(n)}`
  batch(
    [],
    [
      `link add ${name} address ee:ee:ee:ee:ee:ee mtu 1500 type veth peer name eth0 mtu 1500 netns p${n}`,
      `address add fe80::ecee:eeff:feee:eeee/64 dev ${name} nodad`,
      `link set ${name} up`,
    ],
  )
  batch(
    ['-n', `p${n}`],
    [
      'link set lo up',
      `address add 10.77.0.${n + 1}/32 dev eth0`,
      `address add fd77::${(n + 1).toString(16)}/128 dev eth0 nodad noprefixroute`,
      'link set eth0 up',
      'route add 169.254.1.1 dev eth0 scope link',
      'route add default via 169.254.1.1',
      'route add default via fe80::ecee:eeff:feee:eeee dev eth0',
      'neighbour add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0',
      'neighbour add fe80::ecee:eeff:feee:eeee lladdr ee:ee:ee:ee:ee:ee dev eth0',
    ],
  )
}

function timed(work: () => void): number {
  const start = performance.now()
  work()
  return performance.now() - start
}

function summary(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (part: number): string => (sorted[Math.floor(part * (sorted.length - 1))] ?? 0).toFixed(2)
  return `min ${at(0)}, median ${at(0.5)}, p95 ${at(0.95)}, max ${at(1)} ms`
}

await settleThreadPool()
using links = new PodLinks()
const numbers = Array.from({ length: COUNT }, (_, n) => n)
const all = numbers.map(linkOf)
for (let round = 0; round < 3; round++) {
  batch(
    [],
    numbers.map((n) => `netns add p${n}`),
  )
  const attach = all.map((link) =>
    timed(() => {
      const result = links.attach(link)
      if (!result.ok) throw new Error(result.error.message)
      if (round === 0 && link === all[0]) console.log(result.value, links.check(link))
    }),
  )
  const one = all.slice(0, 10).map((link) => timed(() => report(links.detach([link]))))
  const many = timed(() => report(links.detach(all.slice(10))))
  const ipAttach = numbers.map((n) => timed(() => byIp(n)))
  const ipOne = numbers.slice(0, 10).map((n) => timed(() => batch([], [`link delete fib${hex(n)}`])))
  const ipMany = timed(() =>
    batch(
      [],
      numbers.slice(10).map((n) => `link delete fib${hex(n)}`),
    ),
  )
  console.log(
    `attach       ${summary(attach)}\n  ip -batch  ${summary(ipAttach)}\ndetach one   ${summary(one)}\n  ip         ${summary(ipOne)}`,
  )
  console.log(`detach 40    ${many.toFixed(1)} ms; ip -batch ${ipMany.toFixed(1)} ms`)
  batch(
    [],
    numbers.map((n) => `netns delete p${n}`),
  )
}

function report(problems: readonly string[]): void {
  if (problems.length > 0) throw new Error(problems.join('; '))
}
