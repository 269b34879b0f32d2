import { describe, expect, test } from 'vitest'
import { BrokerError } from '../../../../src/errors.ts'
import { prepared } from '../../../../src/scram/prepare.ts'
import { ScramServer, type ScramStep } from '../../../../src/scram/server.ts'
import { scramVerifierOf } from '../../../../src/scram/verifier.ts'
import { ScramClient, ScramPeople } from '../../../support/scram-client.ts'

const from = { clientId: 'c', protocol: 'test', remote: 'here', isLocal: true }
const people = await ScramPeople.of({ alice: 'sesame', 'a,b=c': 'x', ffi: 'y' })

function say(server: ScramServer, message: string | Buffer | undefined): ScramStep | BrokerError {
  let said: ScramStep | BrokerError | undefined
  server.step(message === undefined ? undefined : Buffer.from(message), (result) => {
    expect(said).toBeUndefined()
    said = result
  })
  if (said === undefined) throw new Error('no answer')
  return said
}

/** What the server says if it goes on. */
function data(result: ScramStep | BrokerError): string {
  if (result instanceof BrokerError) throw result
  return String(result.data)
}

function refusal(result: ScramStep | BrokerError): string {
  if (!(result instanceof BrokerError)) throw new Error('it was taken')
  expect(result.code).toBe('not-authenticated')
  return result.message
}

/** An exchange whose second message may be changed on its way. */
function exchange(client: ScramClient, change = (final: string): string => final): ScramStep | BrokerError {
  const server = new ScramServer(people, from)
  return say(server, change(String(client.final(data(say(server, client.first))))))
}

test('the example of RFC 7677, section 3', async () => {
  const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')
  const verifier = await scramVerifierOf('pencil', { salt, iterations: 4096 })
  const server = new ScramServer(new ScramPeople(new Map([['user', verifier]])), from, '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0')
  const first = say(server, 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO')
  expect(data(first)).toBe('r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096')
  const final = say(
    server,
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
  )
  expect(data(final)).toBe('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=')
  expect(final).toMatchObject({ identity: { principal: 'user', clientId: 'c' } })
})

describe('who is let in', () => {
  test.each([
    ['alice', 'n,,', 'alice'],
    ['alice', 'y,,', 'alice'],
    ['alice', 'n,a=alice,', 'alice'],
    ['a=2Cb=3Dc', 'n,,', 'a,b=c'],
    ['\ufb03', 'n,,', 'ffi'],
    ['al\u00adice', 'n,,', 'alice'],
  ])('%j after %j is %s, and the server proves that it knows him', (name, header, principal) => {
    const password = { alice: 'sesame', 'a,b=c': 'x', ffi: 'y' }[principal] ?? ''
    const client = new ScramClient(name, password, { header })
    const result = exchange(client)
    expect(client.trusts(data(result))).toBe(true)
    expect(result).toMatchObject({ identity: { principal } })
  })

  test('extensions that nobody knows are passed over, and signed', () => {
    const client = new ScramClient('alice', 'sesame', { nonce: 'abc,x=1,y==' })
    const server = new ScramServer(people, from, 'S')
    const first = data(say(server, client.first))
    expect(first).toMatch(/^r=abcS,/)
    expect(client.trusts(data(say(server, client.final(first))))).toBe(true)
  })

  test('a verifier that takes its time is waited for', async () => {
    const client = new ScramClient('alice', 'sesame')
    const server = new ScramServer(await ScramPeople.of({ alice: 'sesame' }, true), from)
    const first = await new Promise<ScramStep | BrokerError>((resolve) => server.step(client.first, resolve))
    expect(client.trusts(data(say(server, client.final(data(first)))))).toBe(true)
  })

  test('who is in or turned away is told to the users', async () => {
    const own = await ScramPeople.of({ alice: 'sesame' })
    for (const password of ['sesame', 'wrong']) {
      const client = new ScramClient('alice', password)
      const server = new ScramServer(own, from)
      say(server, client.final(data(say(server, client.first))))
    }
    say(new ScramServer(own, from), 'nonsense')
    expect(own.concludedWith).toEqual([
      'alice: in',
      'alice: no such user, or another password',
      'undefined: the first message of SCRAM is malformed',
    ])
  })
})

describe('who is not', () => {
  test('a wrong password and an unknown user are told the same', () => {
    const wrong = refusal(exchange(new ScramClient('alice', 'Sesame')))
    expect(refusal(exchange(new ScramClient('bob', 'sesame')))).toBe(wrong)
  })

  test('an unknown user has a salt of his own, always the same and as long as others', () => {
    const saltOf = (user: string): string =>
      /,s=([^,]+),i=4096$/.exec(data(say(new ScramServer(people, from), `n,,n=${user},r=x`)))?.[1] ?? ''
    expect(saltOf('bob')).toBe(saltOf('bob'))
    expect(new Set(['alice', 'bob', 'carol'].map(saltOf)).size).toBe(3)
    expect(saltOf('bob')).toHaveLength(saltOf('alice').length)
  })

  test.each<[string, (final: string) => string]>([
    ['another nonce', (final) => final.replace(/r=(.)/, (_, letter: string) => `r=${letter === 'a' ? 'b' : 'a'}`)],
    ["the client's nonce alone", (final) => final.replace(/,r=nonce[^,]+/, ',r=nonce')],
    ['a nonce with more to it', (final) => final.replace(',p=', 'x,p=')],
    ['another header', (final) => final.replace('c=biws', 'c=eSws')],
    ['the header written in another way', (final) => final.replace('c=biws', 'c=biws=')],
    ['another proof', (final) => final.replace(/p=.{4}/, 'p=AAAA')],
    ['a short proof', (final) => final.replace(/p=.+/, 'p=AAAA')],
    ['no proof', (final) => final.replace(/,p=.+/, '')],
    ['a proof in bad base64', (final) => final.replace(/.=$/, 'B=')],
    ['an extension that must be known', (final) => final.replace(',p=', ',m=1,p=')],
    ['an extension that was not signed', (final) => final.replace(',p=', ',x=1,p=')],
    ['something after the proof', (final) => `${final},x=1`],
    ['nothing', () => ''],
  ])('%s', (_, change) => {
    refusal(exchange(new ScramClient('alice', 'sesame', { nonce: 'nonce' }), change))
  })

  test.each([
    ['nothing', undefined],
    ['an empty message', ''],
    ['channel binding', 'p=tls-unique,,n=alice,r=x'],
    ['an unknown flag', 'z,,n=alice,r=x'],
    ['no header', 'n=alice,r=x'],
    ['somebody else to act for', 'n,a=bob,n=alice,r=x'],
    ['an empty name', 'n,,n=,r=x'],
    ['a name of invisible characters', 'n,,n=\u00ad,r=x'],
    ['a name with a control character', 'n,,n=ali\u0007ce,r=x'],
    ['a name with U+0000', 'n,,n=ali\0ce,r=x'],
    ['a name that is too long', `n,,n=${'a'.repeat(1025)},r=x`],
    ['an unknown escape', 'n,,n=a=2Db,r=x'],
    ['a lone equals sign', 'n,,n=a=b,r=x'],
    ['an escape in lower case', 'n,,n=a=2cb,r=x'],
    ['no nonce', 'n,,n=alice'],
    ['an empty nonce', 'n,,n=alice,r='],
    ['a nonce with a space', 'n,,n=alice,r=x y'],
    ['attributes in another order', 'n,,r=x,n=alice'],
    ['an extension that must be known', 'n,,m=1,n=alice,r=x'],
    ['the same one later', 'n,,n=alice,r=x,m=1'],
    ['an attribute without a value', 'n,,n=alice,r=x,y='],
    ['a byte order mark', '\ufeffn,,n=alice,r=x'],
    ['a line end', 'n,,n=alice,r=x\n'],
    ['bad UTF-8', Buffer.from([0x6e, 0x2c, 0x2c, 0x6e, 0x3d, 0xff, 0x2c, 0x72, 0x3d, 0x78])],
    ['too much', `n,,n=alice,r=${'x'.repeat(5000)}`],
  ])('who begins with %s', (_, message) => {
    const server = new ScramServer(people, from)
    refusal(say(server, message))
    expect(refusal(say(server, 'n,,n=alice,r=x'))).toContain('out of turn')
  })

  test('who says it all again, after success or failure', () => {
    const client = new ScramClient('alice', 'sesame')
    const server = new ScramServer(people, from)
    const final = client.final(data(say(server, client.first)))
    data(say(server, final))
    expect(refusal(say(server, final))).toContain('out of turn')
    const other = new ScramServer(people, from)
    say(other, client.first)
    refusal(say(other, final))
    refusal(say(other, client.first))
  })

  test('who does not wait for the answer, and the answer comes to nothing then', async () => {
    const own = await ScramPeople.of({ alice: 'sesame' }, true)
    const server = new ScramServer(own, from)
    const late = new Promise<ScramStep | BrokerError>((resolve) => server.step(Buffer.from('n,,n=alice,r=x'), resolve))
    expect(refusal(say(server, 'c=biws'))).toContain('out of turn')
    expect(refusal(await late)).toContain('over')
    expect(own.concludedWith).toHaveLength(1)
  })

  test('whose verifier is not 32 bytes long, and nothing worse happens', () => {
    const salt = Buffer.alloc(16)
    const broken = { salt, iterations: 4096, storedKey: Buffer.alloc(3), serverKey: Buffer.alloc(0) }
    const server = new ScramServer(new ScramPeople(new Map([['alice', broken]])), from)
    const client = new ScramClient('alice', 'sesame')
    refusal(say(server, client.final(data(say(server, client.first)))))
  })

  test('anybody while the users cannot be read', () => {
    const failed = new BrokerError('resource-exhausted', 'the users are away')
    const server = new ScramServer({ decoy: people.decoy, verifier: (_, answer) => answer(failed) }, from)
    expect(say(server, 'n,,n=alice,r=x')).toBe(failed)
  })
})

describe('verifiers', () => {
  test('of one password differ by their salt', async () => {
    const [one, other] = [
      await scramVerifierOf('x', { iterations: 4096 }),
      await scramVerifierOf('x', { iterations: 4096 }),
    ]
    expect(one.salt).toHaveLength(16)
    expect(one.storedKey).toHaveLength(32)
    expect(one.storedKey).not.toEqual(other.storedKey)
  })

  test('are the same for passwords that look the same', async () => {
    const cost = { salt: Buffer.alloc(16, 1), iterations: 4096 }
    expect(await scramVerifierOf('caf\u00e9\u00a0\ufb03', cost)).toEqual(await scramVerifierOf('cafe\u0301 ffi', cost))
  })

  test.each([
    ['', {}],
    ['a\u0000b', {}],
    ['x', { iterations: 4095 }],
    ['x', { iterations: 4096.5 }],
    ['x', { iterations: 2 ** 31 }],
    ['x', { salt: new Uint8Array(0) }],
  ])('of %j with %j are refused', async (password, cost) => {
    await expect(scramVerifierOf(password, cost)).rejects.toThrow(BrokerError)
  })

  /** RFC 4013, section 3; what has only its rule for right-to-left text against it is let through. */
  test.each([
    ['I\u00adX', 'IX'],
    ['user', 'user'],
    ['USER', 'USER'],
    ['\u00aa', 'a'],
    ['\u2168', 'IX'],
    ['\u0007', undefined],
    ['\ud800', undefined],
    ['\ue000', undefined],
    ['\u2028', undefined],
    ['\u202ex', undefined],
  ])('%j is prepared as %j', (text, expected) => {
    expect(prepared(text)).toBe(expected)
  })
})
