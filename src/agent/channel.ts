// Messages between the agent's threads: notices one way, and requests that expect one answer. Values must be plain (they are
// structured-cloned); big columns go as transferables.
import type { MessagePort, Transferable, Worker } from 'node:worker_threads'

type Envelope =
  | { readonly kind: 'notice'; readonly body: unknown }
  | { readonly kind: 'request'; readonly id: number; readonly body: unknown }
  | { readonly kind: 'answer'; readonly id: number; readonly body: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly message: string }

export class ChannelError extends Error {
  readonly code: 'TIMEOUT' | 'FAILED' | 'CLOSED'
  constructor(code: ChannelError['code'], message: string) {
    super(message)
    this.name = 'ChannelError'
    this.code = code
  }
}

const ANSWER_WITHIN_MS = 20_000

/**
 * One end of a pair of threads. `In` is what arrives unasked, `Out` what we send unasked, `Ask` and `Asked` map a request's
 * `kind` to its request and answer: `Asked` for the ones we answer, `Ask` for the ones the other side answers.
 */
export class Channel<In, Out, Asked extends Requests = Record<never, never>, Ask extends Requests = Record<never, never>> {
  readonly #port: MessagePort | Worker
  readonly #waiting = new Map<
    number,
    { resolve: (value: unknown) => void; reject: (reason: ChannelError) => void; timer: NodeJS.Timeout }
  >()
  #nextId = 1

  constructor(port: MessagePort | Worker, handlers: Handlers<In, Asked>) {
    this.#port = port
    port.on('message', (envelope: Envelope) => {
      switch (envelope.kind) {
        case 'notice':
          handlers.notice(envelope.body as In)
          return
        case 'request': {
          const { kind, body } = envelope.body as { kind: keyof Asked; body: Asked[keyof Asked]['request'] }
          this.#answer(envelope.id, () => {
            const answer = handlers.answers?.[kind]
            if (answer === undefined) throw new Error(`this thread answers no ${String(kind)}`)
            return answer(body)
          })
          return
        }
        case 'answer':
          this.#settle(envelope.id)?.resolve(envelope.body)
          return
        case 'failure':
          this.#settle(envelope.id)?.reject(new ChannelError('FAILED', envelope.message))
      }
    })
    port.on('close', () => this.#closeAll())
  }

  send(body: Out, transfer: readonly Transferable[] = []): void {
    this.#post({ kind: 'notice', body }, transfer)
  }

  /** Rejects with `ChannelError`: the other side failed, ended, or did not answer in time. */
  ask<K extends keyof Ask>(kind: K, body: Ask[K]['request']): Promise<Ask[K]['answer']> {
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.#settle(id)?.reject(new ChannelError('TIMEOUT', `no answer to ${String(kind)} in ${ANSWER_WITHIN_MS} ms`)),
        ANSWER_WITHIN_MS,
      )
      this.#waiting.set(id, { resolve: (value) => resolve(value as Ask[K]['answer']), reject, timer })
      this.#post({ kind: 'request', id, body: { kind, body } })
    })
  }

  #answer(id: number, work: () => unknown): void {
    const failed = (error: unknown): void =>
      this.#post({ kind: 'failure', id, message: error instanceof Error ? error.message : String(error) })
    try {
      const answer = work()
      if (answer instanceof Promise) answer.then((body: unknown) => this.#post({ kind: 'answer', id, body }), failed)
      else this.#post({ kind: 'answer', id, body: answer })
    } catch (error) {
      failed(error)
    }
  }

  #settle(id: number) {
    const waiting = this.#waiting.get(id)
    if (waiting !== undefined) clearTimeout(waiting.timer)
    this.#waiting.delete(id)
    return waiting
  }

  #closeAll(): void {
    for (const id of this.#waiting.keys()) this.#settle(id)?.reject(new ChannelError('CLOSED', 'the other thread ended'))
  }

  #post(envelope: Envelope, transfer: readonly Transferable[] = []): void {
    this.#port.postMessage(envelope, [...transfer])
  }
}

export type Requests = Readonly<Record<string, { readonly request: unknown; readonly answer: unknown }>>

export type Handlers<In, Asked extends Requests> = {
  readonly notice: (body: In) => void
  /** One function a request, at once or later; what it throws or rejects with reaches the asker as `ChannelError`. */
  readonly answers?: { readonly [K in keyof Asked]: (request: Asked[K]['request']) => Asked[K]['answer'] | Promise<Asked[K]['answer']> }
}
