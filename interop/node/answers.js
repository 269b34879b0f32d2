/** Longer than the broker may take to confirm anything here. */
const receiptMsMax = 15_000

/**
 * Returns a function that answers the requests of interop/driver.ts with what `connect(request)` resolves to: an object with a
 * method for each request and the fields of a {@link Line}. Runs in Node and in a page.
 */
export function answering(connect) {
  const connections = new Map()

  return async function answer(request) {
    if (request.op === 'open') {
      const connection = await connect(request)
      connections.set(request.connection, connection)
      return connection.connected
    }
    if (request.op === 'reset') {
      for (const connection of connections.values()) connection.cut()
      connections.clear()
      return null
    }
    const connection = connections.get(request.connection)
    const { line } = connection
    switch (request.op) {
      case 'receive':
        return await line.receive(request.subscription, request.ms)
      case 'error':
        await line.until(() => line.error !== undefined, request.ms)
        return line.error ?? null
      case 'lost':
        return await line.until(() => line.isLost, request.ms)
      case 'reconnected':
        return await line.until(() => line.timesConnected > 1, request.ms)
      default:
        return (await connection[request.op](request)) ?? null
    }
  }
}

/** What has happened on one connection, and who waits for it. */
export class Line {
  error = undefined
  isLost = false
  timesConnected = 0
  #messages = new Map()
  #taken = []
  #waiting = new Set()

  /** Tells those who wait that something has changed. */
  changed() {
    for (const check of [...this.#waiting]) check()
  }

  /** Resolves to true when `holds()`, to false if that does not come in time. */
  until(holds, ms) {
    return new Promise((resolve) => {
      const end = (result) => {
        clearTimeout(timer)
        this.#waiting.delete(check)
        resolve(result)
      }
      const check = () => {
        if (holds()) end(true)
      }
      const timer = setTimeout(() => end(false), ms)
      this.#waiting.add(check)
      check()
    })
  }

  /** Resolves when `ask(confirmed)` has called `confirmed`; rejects with the ERROR frame, or the loss, that comes instead. */
  async confirmed(ask) {
    let isConfirmed = false
    ask(() => {
      isConfirmed = true
      this.changed()
    })
    await this.until(() => isConfirmed || this.error !== undefined || this.isLost, receiptMsMax)
    if (!isConfirmed) throw new Error(this.error === undefined ? 'no receipt' : `ERROR frame: ${this.error}`)
  }

  /** Keeps a message for `receive`; the body is bytes. */
  arrived(subscription, message, headers, body) {
    const messages = this.#messages.get(subscription) ?? []
    this.#messages.set(subscription, messages)
    messages.push({ message, headers, body: base64(body) })
    this.changed()
  }

  async receive(subscription, ms) {
    await this.until(() => (this.#messages.get(subscription)?.length ?? 0) > 0, ms)
    const next = this.#messages.get(subscription)?.shift()
    if (next === undefined) return null
    this.#taken.push(next.message)
    return { number: this.#taken.length - 1, headers: next.headers, body: next.body }
  }

  /** The library's own message of that number. */
  message({ number }) {
    return this.#taken[number]
  }
}

function base64(bytes) {
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return btoa(text)
}
