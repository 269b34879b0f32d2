/** The protocols that commands speak, and where a broker is if nobody says otherwise. */
export const defaultUrls = {
  native: 'tcp://127.0.0.1:61616',
  stomp: 'tcp://127.0.0.1:61613',
  amqp: 'tcp://127.0.0.1:5672',
  mqtt: 'tcp://127.0.0.1:1883',
} as const

export type ClientProtocol = keyof typeof defaultUrls
export const clientProtocols = Object.keys(defaultUrls) as ClientProtocol[]
