import { type ProtocolOptions, protocols } from '../../../protocols/index.ts'
import { loadConfig } from '../../config.ts'
import { embeddedFormat } from '../../embedded-format.ts'
import type { ContentFormat, Message, MessageView } from '../../message.ts'
import type { ConfigOptions } from '../config.ts'

/** Finds the format of a stored message by its name; one that nobody knows shows bytes and nothing else. */
export async function formatsOf(options: ConfigOptions): Promise<(name: string) => ContentFormat> {
  const { config } = await loadConfig({ file: options.config, data: options.data, set: options.set ?? [] })
  const known = new Map([[embeddedFormat.name, embeddedFormat as ContentFormat]])
  for (const name of Object.keys(protocols) as (keyof ProtocolOptions)[]) {
    for (const format of await formatsOfProtocol(name, config.listeners[name])) known.set(format.name, format)
  }
  return (name) => {
    const found = known.get(name) ?? new OpaqueFormat(name)
    known.set(name, found)
    return found
  }
}

async function formatsOfProtocol<Name extends keyof ProtocolOptions>(
  name: Name,
  settings: ProtocolOptions[Name] | undefined,
): Promise<readonly ContentFormat[]> {
  return settings === undefined ? [] : (await protocols[name]('', settings)).formats
}

/** A format of which only the name is known. */
export class OpaqueFormat implements ContentFormat {
  readonly name: string

  constructor(name: string) {
    this.name = name
  }

  view(message: Message): MessageView {
    return {
      messageId: undefined,
      correlationId: undefined,
      replyTo: undefined,
      subject: undefined,
      contentType: undefined,
      contentEncoding: undefined,
      userId: undefined,
      properties: [],
      body: { kind: 'bytes', bytes: message.content.subarray(message.bodyOffset) },
    }
  }
}
