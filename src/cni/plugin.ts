#!/usr/bin/env node
// The CNI plugin for hosts that have Node; shim/fibula-cni.c is the same for all others, and one suite tests both. It passes its
// environment and standard input to the agent and prints what that answers; no other logic but what must work without an agent.
import { readFileSync, writeSync } from 'node:fs'
import { connect } from 'node:net'
import { CNI_CODE, type CniFault, type CniReply, faultReply } from './error.ts'
import { decodeResponse, encodeRequest, MAX_REQUEST_BYTES } from './frame.ts'
import { versionAnswer } from './version.ts'

const DEFAULT_SOCKET = '/run/fibula/cni.sock'
/** How long the agent may take to open its socket: it is being installed, or upgraded. */
const CONNECT_DEADLINE_MS = 30_000
const CONNECT_EVERY_MS = 50
/** How long the agent may take to answer, above its own deadline. */
const ANSWER_DEADLINE_MS = 120_000

type Config = { readonly [key: string]: unknown }

async function answer(): Promise<CniReply> {
  const { CNI_COMMAND: command = '', FIBULA_CNI_SOCKET: socketOverride } = process.env
  let stdin: Uint8Array
  try {
    stdin = readFileSync(0)
  } catch (cause) {
    return failure({ code: CNI_CODE.ioFailure, message: `cannot read standard input: ${messageOf(cause)}` }, {})
  }
  const config = parseConfig(stdin)
  if (command === '') {
    const message = 'CNI_COMMAND is missing: it must be one of ADD, DEL, CHECK, STATUS, GC, VERSION'
    return failure({ code: CNI_CODE.invalidEnvironment, message }, config ?? {})
  }
  if (command === 'VERSION') {
    if (config !== null) return { exitStatus: 0, stdout: versionAnswer(config['cniVersion']) }
    const message = 'standard input is not a JSON object: it must be the network configuration'
    return failure({ code: CNI_CODE.undecodable, message }, {})
  }
  const { socket = DEFAULT_SOCKET } = config ?? {}
  const path = socketOverride ?? (typeof socket === 'string' ? socket : DEFAULT_SOCKET)
  let frame: Uint8Array
  try {
    const variables = Object.entries(process.env).flatMap(([name, value]) =>
      name.startsWith('CNI_') && value !== undefined ? [[name, value] as const] : [],
    )
    frame = encodeRequest({ variables: new Map(variables), stdin })
  } catch {
    const message = `environment and standard input are larger than ${MAX_REQUEST_BYTES} octets`
    return failure({ code: CNI_CODE.ioFailure, message }, config ?? {})
  }
  return ask(path, frame, config ?? {})
}

/** Asks the agent, waiting for its socket. Never rejects. */
async function ask(path: string, frame: Uint8Array, config: Config): Promise<CniReply> {
  const untilMs = performance.now() + CONNECT_DEADLINE_MS
  for (;;) {
    const outcome = await askOnce(path, frame)
    if (!('code' in outcome)) return outcome
    const { code, message } = outcome
    if (!['ENOENT', 'ECONNREFUSED', 'EAGAIN'].includes(code)) {
      const isCutShort = code === 'CUT_SHORT'
      return failure(
        { code: isCutShort ? CNI_CODE.tryAgainLater : CNI_CODE.ioFailure, message: `agent socket ${path}: ${message}` },
        config,
      )
    }
    if (performance.now() >= untilMs) {
      const said = `the agent does not answer on ${path} (${message}): is its pod running on this node?`
      return failure({ code: CNI_CODE.tryAgainLater, message: said }, config)
    }
    await new Promise((resolve) => setTimeout(resolve, CONNECT_EVERY_MS))
  }
}

function askOnce(path: string, frame: Uint8Array): Promise<CniReply | { readonly code: string; readonly message: string }> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let isConnected = false
    const cutShort = (why: string): void => resolve({ code: 'CUT_SHORT', message: why })
    const socket = connect(path, () => {
      isConnected = true
      socket.write(frame)
    })
    socket.setTimeout(ANSWER_DEADLINE_MS, () => socket.destroy(new Error(`no answer for ${ANSWER_DEADLINE_MS / 1000} s`)))
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (isConnected) cutShort(error.message)
      else resolve({ code: error.code ?? '', message: error.message })
    })
    socket.on('end', () => {
      const reply = decodeResponse(Buffer.concat(chunks))
      if (reply === null) cutShort('the agent ended before it had answered')
      else resolve(reply)
    })
    socket.on('close', () => cutShort('the agent closed the connection'))
  })
}

/** The configuration, empty if there is none; null if it is not a JSON object. */
function parseConfig(stdin: Uint8Array): Config | null {
  try {
    const text = new TextDecoder().decode(stdin)
    const parsed: unknown = text.trim() === '' ? {} : JSON.parse(text)
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? { ...parsed } : null
  } catch {
    return null
  }
}

function failure(fault: CniFault, config: Config): CniReply {
  return faultReply(fault, config['cniVersion'])
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

const { exitStatus, stdout } = await answer()
for (let rest = Buffer.from(stdout); rest.length > 0; ) {
  try {
    rest = rest.subarray(writeSync(1, rest))
  } catch (cause) {
    if (typeof cause === 'object' && cause !== null && 'code' in cause && cause.code === 'EAGAIN') continue // a full pipe
    process.exit(1)
  }
}
process.exit(exitStatus)
