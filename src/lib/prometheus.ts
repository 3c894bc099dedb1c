// The parts of the metrics library that we use, by themselves: the whole package loads a tracing framework and an HTTPS client, which
// take 12 MiB in every agent.
import { createRequire } from 'node:module'
import type PromClient from 'prom-client'

const require = createRequire(import.meta.url)

export type Registry = PromClient.Registry
export type Counter = PromClient.Counter
export type Gauge = PromClient.Gauge
export const Registry: typeof PromClient.Registry = require('prom-client/lib/registry')
export const Counter: typeof PromClient.Counter = require('prom-client/lib/counter')
export const Gauge: typeof PromClient.Gauge = require('prom-client/lib/gauge')
