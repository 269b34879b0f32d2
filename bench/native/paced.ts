/** Does something again and again, so many at a time. Returns how often a second. */
export async function paced(ms: number, atOnce: number, work: () => Promise<void>): Promise<number> {
  const start = performance.now()
  let count = 0
  const lane = async (): Promise<void> => {
    while (performance.now() - start < ms) {
      await work()
      count += 1
    }
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
  return (count / (performance.now() - start)) * 1000
}
