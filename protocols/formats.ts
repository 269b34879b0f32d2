import type { ContentFormat } from '../src/core.ts'

/** The formats in which messages may lie in a store: of every protocol, whether it is spoken at present or not. */
export async function contentFormats(): Promise<readonly ContentFormat[]> {
  const [{ amqpFormat, opaqueFormat }, { mqttFormat }, { nativeFormat }, { stompFormats }] = await Promise.all([
    import('./amqp/content.ts'),
    import('./mqtt/content.ts'),
    import('./native/content.ts'),
    import('./stomp/content.ts'),
  ])
  return [amqpFormat, opaqueFormat, mqttFormat, nativeFormat, ...Object.values(stompFormats)]
}
