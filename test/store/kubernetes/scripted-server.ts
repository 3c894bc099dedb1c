// An API server that answers as a test tells it to.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'

export type Answer = (request: IncomingMessage, response: ServerResponse) => void

/** Answers with `answer`, which may be exchanged; lets a test wait for the n-th request. */
export class ScriptedServer implements AsyncDisposable {
  readonly #server = createServer((request, response) => {
    this.requests.push(request.url ?? '')
    this.answer(request, response)
    this.#wake()
  })
  readonly requests: string[] = []
  answer: Answer
  #wake: () => void = () => {}

  constructor(answer: Answer) {
    this.answer = answer
  }

  async connection() {
    if (!this.#server.listening) await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    const address = this.#server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    return { url: new URL(`http://127.0.0.1:${port}`), options: async () => ({}), [Symbol.dispose]() {} }
  }

  async until(count: number): Promise<void> {
    while (this.requests.length < count) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

export const refuse =
  (status: number, headers: Readonly<Record<string, string>> = {}): Answer =>
  (_, response) =>
    void response.writeHead(status, headers).end('no')
/** There is nothing, as of version 1. */
export const list: Answer = (_, response) => void response.end(JSON.stringify({ metadata: { resourceVersion: '1' }, items: [] }))
export const isWatch = ({ url = '' }: IncomingMessage): boolean => url.includes('watch=true')
