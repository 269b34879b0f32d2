import { contentFormats } from '../../../protocols/formats.ts'
import { embeddedFormat } from '../../embedded-format.ts'
import { type ContentFormat, emptyView, type Message, type MessageView } from '../../message.ts'

/** Finds the format of a stored message by its name; one that nobody knows shows bytes and nothing else. */
export async function formatsByName(): Promise<(name: string) => ContentFormat> {
  const formats = [embeddedFormat, ...(await contentFormats())]
  const known = new Map<string, ContentFormat>(formats.map((format) => [format.name, format]))
  return (name) => {
    const found = known.get(name) ?? new OpaqueFormat(name)
    known.set(name, found)
    return found
  }
}

/** A format of which only the name is known. */
export class OpaqueFormat implements ContentFormat {
  readonly name: string

  constructor(name: string) {
    this.name = name
  }

  view(message: Message): MessageView {
    return { ...emptyView, body: { kind: 'bytes', bytes: message.content.subarray(message.bodyOffset) } }
  }
}
