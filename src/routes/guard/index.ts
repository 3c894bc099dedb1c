// Guards of pods and tunnels as a ruleset for netfilter; see README.md.
export { type GuardInput, type GuardPool, POD_INTERFACES, renderGuards, TUNNEL_DEVICES, type TunnelGuard } from './render.ts'
