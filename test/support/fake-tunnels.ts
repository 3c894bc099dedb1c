// A kernel's tunnel devices in memory, for tests of what lives above the port.
import { err, ok, type Result } from '../../src/lib/result.ts'
import type { IpFamily } from '../../src/net/index.ts'
import type { TunnelBackend, TunnelRefusal } from '../../src/routes/tunnel/backend.ts'
import type { TunnelState, TunnelStep } from '../../src/routes/tunnel/plan.ts'

export class FakeTunnels implements TunnelBackend {
  readonly devices = new Map<IpFamily, TunnelState>()
  /** Every step asked for, by name and family: `create 4`. */
  readonly steps: string[] = []
  /** Refusals by step (`create`), until taken away. */
  readonly refuse = new Map<TunnelStep['kind'], TunnelRefusal>()
  /** Interface numbers that something else has. */
  readonly takenIndexes = new Set<number>()
  #nextIndex = 40

  find(family: IpFamily): Result<TunnelState | null, TunnelRefusal> {
    return ok(this.devices.get(family) ?? null)
  }

  perform(family: IpFamily, step: TunnelStep): Result<void, TunnelRefusal> {
    this.steps.push(`${step.kind} ${family}`)
    const refusal = this.refuse.get(step.kind)
    if (refusal !== undefined) return err(refusal)
    const device = this.devices.get(family)
    if (step.kind === 'create') {
      if (device !== undefined) return err({ code: 'EEXIST', text: null })
      if (step.index !== null && this.takenIndexes.has(step.index)) return err({ code: 'EBUSY', text: null })
      const { local, mtu } = step.tunnel
      const index = step.index ?? this.#nextIndex++
      this.devices.set(family, { index, mtu, isUp: true, local: family === 4 ? local : null, isOurs: true })
    } else if (device === undefined || device.index !== step.index) {
      return step.kind === 'remove' ? ok(undefined) : err({ code: 'ENODEV', text: null })
    } else if (step.kind === 'remove') this.devices.delete(family)
    else if (step.kind === 'relocate') this.devices.set(family, { ...device, local: step.tunnel.local })
    else if (step.kind === 'setMtu') this.devices.set(family, { ...device, mtu: step.mtu })
    else this.devices.set(family, { ...device, isUp: true })
    return ok(undefined)
  }

  [Symbol.dispose](): void {}
}
