import { TextDecoder } from 'node:util'
import { prepared } from './prepare.ts'

/** What the client says first (RFC 5802, section 7). */
export interface ClientFirst {
  /** `n,,`: whether it wants channel binding, and for whom it acts; to be repeated in `c=` of its second message. */
  readonly header: string
  /** The message without the header: the first part of what is signed. */
  readonly bare: string
  /** Prepared. */
  readonly user: string
  readonly nonce: string
}

/** What the client says second. */
export interface ClientFinal {
  /** The message without the proof: the last part of what is signed. */
  readonly withoutProof: string
  /** In base64. */
  readonly binding: string
  readonly nonce: string
  /** 32 bytes. */
  readonly proof: Buffer
}

const messageBytesMax = 4096
const userCharactersMax = 1024

const saslName = '(?:[^=,\\0]|=2C|=3D)+'
const nonce = '[\\x21-\\x2b\\x2d-\\x7e]+'
/** Extensions that are not known are passed over; `m` would be one that may not be, `p` is the proof. */
const extensions = '(?:,[A-Za-ln-oq-z]=[^,\\0]+)*'
const proof = '[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]='

const first = new RegExp(
  `^((?:[ny]|p=[A-Za-z0-9.-]+),(?:a=(${saslName}))?,)(n=(${saslName}),r=(${nonce})${extensions})$`,
  'su',
)
const final = new RegExp(`^(c=([A-Za-z0-9+/]+={0,2}),r=(${nonce})${extensions}),p=(${proof})$`, 'su')

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Reads the first message. A text: what is wrong with it. */
export function readClientFirst(bytes: Uint8Array | undefined): ClientFirst | string {
  const [, header, role, bare, name, nonce] = matched(first, bytes)
  if (header === undefined || bare === undefined || name === undefined || nonce === undefined) {
    return 'the first message of SCRAM is malformed'
  }
  if (header.startsWith('p')) return 'channel binding is not offered'
  const user = nameOf(name)
  if (user === undefined) return 'the user name has characters that it may not have, or too many'
  if (role !== undefined && nameOf(role) !== user) return 'nobody may act for somebody else'
  return { header, bare, user, nonce }
}

/** Reads the second message. Undefined: it is malformed. */
export function readClientFinal(bytes: Uint8Array | undefined): ClientFinal | undefined {
  const [, withoutProof, binding, nonce, proof] = matched(final, bytes)
  if (withoutProof === undefined || binding === undefined || nonce === undefined || proof === undefined)
    return undefined
  return { withoutProof, binding, nonce, proof: Buffer.from(proof, 'base64') }
}

function matched(pattern: RegExp, bytes: Uint8Array | undefined): readonly (string | undefined)[] {
  if (bytes === undefined || bytes.length > messageBytesMax) return []
  try {
    return pattern.exec(utf8.decode(bytes)) ?? []
  } catch (error) {
    // What `fatal` asks for.
    if (error instanceof TypeError) return []
    throw error
  }
}

function nameOf(saslName: string): string | undefined {
  const name = prepared(saslName.replaceAll('=2C', ',').replaceAll('=3D', '='))
  return name === undefined || name.length > userCharactersMax ? undefined : name
}
