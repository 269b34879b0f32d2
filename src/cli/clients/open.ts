import type { Approach, CommandClient } from './client.ts'
import { type ClientProtocol, defaultUrls } from './protocols.ts'

/** Where the broker is, and what to speak to it. */
export interface Reach {
  readonly url?: string
  readonly protocol?: ClientProtocol
}

/** Messages that a broker may have sent ahead unless a command says otherwise. */
export const prefetchMax = 1000

/** The code of each protocol is loaded when it is spoken. */
const openers: Readonly<Record<ClientProtocol, (approach: Approach) => Promise<CommandClient>>> = {
  native: async (approach) => (await import('./native-client.ts')).NativeClient.connect(approach),
  stomp: async (approach) => (await import('./stomp-client.ts')).StompClient.connect(approach),
  amqp: async (approach) => (await import('./amqp-client.ts')).AmqpClient.connect(approach),
  mqtt: async (approach) => (await import('./mqtt-client.ts')).MqttClient.connect(approach),
}

/** Connects over the protocol that is asked for, or that the URL names; the native one if neither says. */
export async function openClient(
  { url, protocol }: Reach,
  approach: Partial<Omit<Approach, 'url'>> = {},
): Promise<CommandClient> {
  const spoken = protocol ?? protocolOf(url ?? '')
  return openers[spoken]({ prefetch: prefetchMax, ...approach, url: url ?? defaultUrls[spoken] })
}

function protocolOf(url: string): ClientProtocol {
  const scheme = url.slice(0, url.indexOf(':'))
  return scheme === 'stomp' || scheme === 'amqp' || scheme === 'mqtt' ? scheme : 'native'
}
