// The agent as others see it: what its control socket answers.
export type { AgentStatus, KernelRouteStatus, Problem } from './control-api.ts'
