// The agent's HTTP port for machines.
export { type HttpSource, serveHttp } from '../lib/serve-health.ts'
