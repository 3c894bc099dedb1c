// The lab: racks, routers, nodes and pods on one Linux host, in network namespaces.
export { type DemoEvent, type DemoOptions, type DemoReport, type RouteRow, runDemo } from './demo.ts'
export { LabError } from './error.ts'
export { awaitSessions, type CrashResult, type CutResult, fabricFlows, pingMatrix } from './experiments.ts'
export { isRunning } from './identity.ts'
export { bringUp, defaultTopologyFile, type Lab, openLab, release, takeDown, type UpOptions } from './lab.ts'
export { type LinkReport, readLinks, setLink } from './links.ts'
export { netnsPath } from './netns.ts'
export { DEFAULT_LAB_DIR, type LabPaths, labPaths } from './paths.ts'
export {
  fibulaSpeakers,
  namespacesOf,
  type Plan,
  ROUTER_KINDS,
  type RouterKind,
  type Speaker,
  speakersOf,
} from './plan.ts'
export { addPod, deletePod, type Pod } from './pods.ts'
export { type FlowSummary, total } from './probe-record.ts'
export { type Flow, type FlowProbe, flowsBetween, Prober } from './prober.ts'
export { followGobgp, realRouter } from './routers/index.ts'
export { readSessions, type SessionReport } from './sessions.ts'
export { readProcesses } from './state.ts'
export { superviseLab } from './supervisor.ts'
export type { PingCell } from './verdict.ts'
