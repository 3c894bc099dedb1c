import { spawn } from 'node:child_process'
import { expect, test } from '@jest/globals'
import { identityOf, isRunning, processesIn, signalProcess } from '../../src/lab/identity.ts'

test('a process is known by pid and start time, and another one with its pid is not it', async () => {
  const child = spawn('sleep', ['60'])
  const ended = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)))
  const identity = identityOf(child.pid ?? 0)
  if (identity === null) throw new Error('sleep is not running')
  const impostor = { ...identity, startTime: `${Number(identity.startTime) + 1}` }
  expect([isRunning(identity), isRunning(impostor)]).toEqual([true, false])
  expect(signalProcess(impostor, 'SIGKILL')).toBe(false)
  expect(isRunning(identity)).toBe(true)
  expect(signalProcess(identity, 'SIGTERM')).toBe(true)
  expect(await ended).toBe('SIGTERM')
  expect([isRunning(identity), signalProcess(identity, 'SIGTERM')]).toEqual([false, false])
})

test('processes are found by their network namespace, without the one that asks', () => {
  const pids = processesIn(['/proc/self/ns/net']).map(({ pid }) => pid)
  expect(pids).toContain(process.ppid)
  expect(pids).not.toContain(process.pid)
  expect(processesIn(['/nonexistent'])).toEqual([])
})
