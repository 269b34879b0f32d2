import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readFrameHeader, writeFrameHeader } from '../../../../src/store/frame.ts'
import type { DiskFile } from '../../../../src/store/log/disk.ts'
import { OverlayDisk } from '../../../../src/store/log/overlay-disk.ts'

let folder: string
let disk: OverlayDisk
let closings: number

const base = (name = ''): string => join(folder, 'base', name)

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'manifoldmq-overlay-'))
  mkdirSync(base())
  writeFileSync(base('a'), 'alpha')
  writeFileSync(base('b'), 'beta')
  closings = 0
  writeFileSync(base('hidden-1'), 'unseen')
  const onClosed = async (): Promise<void> => {
    closings += 1
  }
  disk = await OverlayDisk.open(base(), join(folder, 'scratch'), { hides: (name) => /^hidden-/.test(name), onClosed })
})

afterEach(async () => {
  await disk.close()
  expect(readdirSync(base()).sort()).toEqual(['a', 'b', 'hidden-1'])
  expect(readFileSync(base('hidden-1'), 'utf8')).toBe('unseen')
  expect(readFileSync(base('a'), 'utf8') + readFileSync(base('b'), 'utf8')).toBe('alphabeta')
  expect(existsSync(join(folder, 'scratch'))).toBe(false)
  expect(closings).toBe(1)
  rmSync(folder, { recursive: true })
})

const names = async (): Promise<string[]> => [...(await disk.list())].sort()
const text = async (name: string): Promise<string> => (await disk.readFile(name)).toString()

async function withFile(name: string, use: (file: DiskFile) => Promise<void>): Promise<void> {
  const file = await disk.open(name)
  await use(file)
  await file.close()
}

test('shows what is below', async () => {
  expect(await names()).toEqual(['a', 'b'])
  expect(await text('a')).toBe('alpha')
  await withFile('b', async (file) => {
    expect((await file.read(1, 10)).toString()).toBe('eta')
    expect(await file.size()).toBe(4)
  })
})

test('keeps a change to a file to itself, in whichever way it is made', async () => {
  await withFile('a', async (file) => {
    await disk.write(file, Buffer.from('X'), 1)
    expect((await file.read(0, 10)).toString()).toBe('aXpha')
    const memory = disk.allocate(64)
    writeFrameHeader(memory, { bytes: 40, recordCount: 0, epoch: 3, segment: 7, number: 5, continues: false })
    await new Promise<void>((resolve, reject) => {
      disk.commit(file, memory, 40, 3, (error) => (error === undefined ? resolve() : reject(error)))
    })
    expect(readFrameHeader(await file.read(3, 64), 0)).toMatchObject({ bytes: 40, epoch: 3, segment: 7, number: 5 })
    await disk.truncate(file, 3)
  })
  await withFile('b', (file) => disk.truncate(file, 2))
  expect([await text('a'), await text('b')]).toEqual(['aXp', 'be'])
})

test('tells a commit that fails', async () => {
  const error = await new Promise<Error | undefined>((resolve) => {
    disk.commit({ name: 'x' } as DiskFile, disk.allocate(40).fill(0), 40, 0, resolve)
  })
  expect(error?.message).toBe('a file of another disk')
})

test('makes files of its own, and writes them anew', async () => {
  await withFile('c', (file) => disk.write(file, Buffer.from('own'), 0))
  await disk.writeFile('d', Buffer.from('delta'))
  await disk.writeFile('a', Buffer.from('other'))
  expect(await names()).toEqual(['a', 'b', 'c', 'd'])
  expect([await text('a'), await text('c'), await text('d')]).toEqual(['other', 'own', 'delta'])
})

test('renames and removes', async () => {
  await disk.writeFile('c', Buffer.from('own'))
  await disk.rename('a', 'z')
  await disk.rename('c', 'y')
  await disk.remove('b')
  expect(await names()).toEqual(['y', 'z'])
  expect([await text('y'), await text('z')]).toEqual(['own', 'alpha'])
  await disk.rename('z', 'x')
  await withFile('x', (file) => disk.write(file, Buffer.from('A'), 0))
  expect([await names(), await text('x')]).toEqual([['x', 'y'], 'Alpha'])
  await disk.remove('x')
  await withFile('a', async (file) => expect(await file.size()).toBe(0))
})

test('makes a file of its own where one of the base is not to be seen', async () => {
  await withFile('hidden-1', async (file) => {
    expect(await file.size()).toBe(0)
    await disk.write(file, Buffer.from('seen'), 0)
  })
  expect([await names(), await text('hidden-1')]).toEqual([['a', 'b', 'hidden-1'], 'seen'])
})
