// What is being done, while it is done, on standard error: one line that changes on a terminal, one line a step elsewhere.

export class Progress {
  readonly #stream: NodeJS.WriteStream
  #last = ''
  #lastWords = ''
  #isOpen = false

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream
  }

  step(text: string): void {
    if (text === this.#last) return
    this.#last = text
    if (!this.#stream.isTTY) {
      // what only counts on is worth a line when it begins, not every second
      if (text.replace(/\d+/g, '') !== this.#lastWords) this.#stream.write(`. ${text}\n`)
      this.#lastWords = text.replace(/\d+/g, '')
      return
    }
    this.#stream.write(`\r\u001b[K. ${text.slice(0, Math.max(20, this.#stream.columns - 4))}`)
    this.#isOpen = true
  }

  /** Clears the changing line, before anything else is written. */
  done(): void {
    if (this.#isOpen) this.#stream.write('\r\u001b[K')
    this.#isOpen = false
    this.#last = ''
  }
}
