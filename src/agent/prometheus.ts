// The parts of the metrics library that the agent uses.
export { Counter, Gauge, Registry } from '../lib/prometheus.ts'
