/** The words of shared memory through which a journal's thread is told what to do. */
export const Word = {
  state: 0,
  fd: 1,
  memoryStart: 2,
  bytes: 3,
  offset: 4,
  fault: 5,
  flushes: 6,
  begun: 7,
  asks: 8,
} as const
/** Whose turn it is: the first word's values. */
export const Turn = { idle: 0, work: 1, done: 2, stop: 3 } as const
export const wordCount = 9
