import { expect, test } from 'vitest'
import { platformNames, publicNames } from '../../../build/names.ts'

const declarations: Readonly<Record<string, string>> = {
  door: `export type { Options } from './options.ts';
export { type Thing, made } from './thing.ts';
export declare function connect(url: string): void;
`,
  options: `interface Shared {
    /** Words of a comment are none. */
    readonly limit: number;
}
export interface Options {
    readonly 'first-of-all'?: boolean;
    readonly shared: Shared;
}
export interface Hidden {
    readonly secret: string;
}
`,
  thing: `export declare class Thing {
    #private;
    /** Made by others. @internal */
    constructor(hidden: {
        readonly a: 1;
    });
    /** @internal */
    readonly wheel: number;
    /** Turns it. */
    turn(options: {
        readonly byDegrees: number;
    }): void;
}
export declare const made: {
    readonly part: Thing;
};
`,
}

test('public are the names in what a door exports, and in what that shares with nobody else', () => {
  const names = publicNames('door', (module) => declarations[module] ?? '')
  for (const name of ['connect', 'limit', 'shared', 'turn', 'byDegrees', 'part']) expect(names).toContain(name)
  for (const name of ['secret', 'wheel', 'hidden', 'Words', 'Turns']) expect(names).not.toContain(name)
})

test('those of the platform are what its objects have', () => {
  expect(platformNames()).toEqual(expect.arrayContaining(['addEventListener', 'byteOffset', 'then', 'binaryType']))
})
