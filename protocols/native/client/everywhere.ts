import type { Reach } from './url.ts'

/** Programs of their own find them everywhere. */
export const everywhere: Reach = {
  schemes: new Map([
    ...['tcp', 'tls', 'unix', 'ws', 'wss', 'vm'].map((scheme) => [scheme, scheme] as const),
    ['ssl', 'tls'],
    ['mnp', 'tcp'],
  ]),
  example: 'tcp://127.0.0.1:61616',
}
