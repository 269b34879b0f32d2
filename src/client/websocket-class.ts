import { WebSocket } from 'ws'
import type { WebSocketClass } from '../../protocols/native/client/websocket.ts'

/** The WebSocket of Node: its own came with Node 22 only. */
export const webSocketClass: WebSocketClass = class extends WebSocket {
  constructor(url: string, subprotocol: string) {
    super(url, subprotocol, { perMessageDeflate: false })
  }
} as unknown as WebSocketClass
