import { describe, expect, test } from 'vitest'
import { Reading } from '../../../src/reading.ts'

const highBytes = 100

function made(): { readonly reading: Reading; readonly isRead: () => boolean } {
  let isRead = true
  const stream = {
    pause: () => {
      isRead = false
    },
    resume: () => {
      isRead = true
    },
  }
  return { reading: new Reading(stream, highBytes), isRead: () => isRead }
}

function writing(isCongested: boolean, waitingBytes: number, inputRead = (): void => undefined) {
  return { isCongested, waitingBytes, inputRead }
}

describe('a connection', () => {
  test('is read again once nothing holds it, in whatever order', () => {
    const { reading, isRead } = made()
    reading.hold('full')
    reading.hold('unread')
    reading.release('full')
    expect(isRead()).toBe(false)
    reading.hold('full')
    reading.release('unread')
    expect(isRead()).toBe(false)
    reading.release('full')
    expect(isRead()).toBe(true)
  })

  test('tells who writes to its peer when input has been read', () => {
    const { reading } = made()
    let count = 0
    reading.took(
      writing(false, 0, () => {
        count += 1
      }),
    )
    expect(count).toBe(1)
  })

  test('is not read while its peer leaves eight times the high watermark unread', () => {
    const { reading, isRead } = made()
    reading.took(writing(true, 8 * highBytes))
    reading.took(writing(false, 9 * highBytes))
    expect(isRead()).toBe(true)
    reading.took(writing(true, 8 * highBytes + 1))
    expect(isRead()).toBe(false)
    reading.release('unread')
    expect(isRead()).toBe(true)
  })

  test('is read to its end whatever held it, and is held no more', () => {
    const { reading, isRead } = made()
    reading.hold('login')
    reading.finish()
    expect(isRead()).toBe(true)
    reading.hold('full')
    expect(isRead()).toBe(true)
  })

  test('that nothing holds is left as it is', () => {
    const { reading, isRead } = made()
    reading.hold('login')
    reading.release('unread')
    expect(isRead()).toBe(false)
  })
})
