import { WebSocket } from 'ws'
import type { WebSocketClass } from '../../protocols/native/client/websocket.ts'
import type { TlsOptions } from './sockets.ts'

/** The WebSocket of Node: its own came with Node 22 only. `tls` is for `wss://`. */
export function webSocketClass(tls: TlsOptions | undefined): WebSocketClass {
  return class extends WebSocket {
    constructor(url: string, subprotocol: string) {
      super(url, subprotocol, { perMessageDeflate: false, ...tls })
    }
  } as unknown as WebSocketClass
}
