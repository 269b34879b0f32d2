import { TCPWrapper } from '@stomp/tcp-wrapper'
import { WebSocket } from 'ws'
import { answering } from './answers.js'
import { serve } from './serve.js'
import { StompjsConnection, webSocket } from './stompjs-connection.js'

/** `node stompjs.js tcp` or `ws`. */
const carriers = {
  tcp: ({ port }) => ({ webSocketFactory: () => new TCPWrapper('127.0.0.1', port) }),
  ws: webSocket,
}

// As https://stomp-js.github.io/guide/stompjs/rx-stomp/using-stomp-with-nodejs.html has it.
Object.assign(globalThis, { WebSocket })
const carrier = carriers[process.argv[2]]
serve(answering((request) => new StompjsConnection(request, carrier).open()))
