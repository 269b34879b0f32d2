import type { Broker, Protocol, Wire } from '../../src/core.ts'
import { StompConnection } from './connection.ts'
import { stompFormats } from './content.ts'
import { OutgoingMessage } from './encoder.ts'
import { FrameScratch } from './frame.ts'
import { defaultStompOptions, type StompOptions } from './limits.ts'

/** STOMP 1.0, 1.1 and 1.2. `serverName` is told to clients: `ManifoldMQ/1.0.0`. */
export function createStomp(serverName: string, options: Partial<StompOptions> = {}): Protocol {
  const settings: StompOptions = { ...defaultStompOptions, ...options }
  const scratch = new FrameScratch()
  const outgoing = new OutgoingMessage()
  return {
    name: 'stomp',
    sniffBytes: 4,
    webSocketSubprotocols: ['v12.stomp', 'v11.stomp', 'v10.stomp'],
    takesWebSocketText: true,
    recognises,
    accept(wire: Wire, broker: Broker): void {
      new StompConnection(wire, { broker, options: settings, serverName, scratch, outgoing, formats: stompFormats })
    },
  }
}

/** A client's first bytes are CONNECT or STOMP, perhaps after end-of-lines. */
function recognises(head: Uint8Array): boolean {
  const text = Buffer.from(head).toString('latin1').trimStart()
  return text.startsWith('CONN') || text.startsWith('STOM')
}
