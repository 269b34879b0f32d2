import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { inclusion, samples, sampleText } from '../../../interop/samples.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const [python, node] = samples

describe('a README', () => {
  test('without the sample has it absent, whatever other code it shows', () => {
    expect(inclusion('# Hello\n\n```sh\npip install stomp.py\n```\n', python!, 'import stomp\n')).toBe('absent')
    expect(inclusion("```ts\nimport stompit from 'stompit'\n```\n", python!, 'import stomp\n')).toBe('absent')
  })

  test('with the sample in a fence has it verbatim', () => {
    const readme = 'Python:\n\n```python\nimport stomp\n\nstomp.go()\n```\n\n```js\nother()\n```\n'
    expect(inclusion(readme, python!, 'import stomp\n\nstomp.go()\n')).toBe('verbatim')
  })

  test('with another program of the same client has a different one', () => {
    const readme = "```js\nimport stompit from 'stompit'\nstompit.connect(61614)\n```\n"
    expect(inclusion(readme, node!, "import stompit from 'stompit'\nstompit.connect(61613)\n")).toBe('different')
  })
})

describe('the README', () => {
  test.each(samples)('shows $path as it is', async (sample) => {
    const readme = readFileSync(`${root}/README.md`, 'utf8')
    expect(inclusion(readme, sample, await sampleText(sample, root))).toBe('verbatim')
  })

  test('shows the sample of the native client as it is', () => {
    const readme = readFileSync(`${root}/README.md`, 'utf8')
    expect(readme).toContain(`\`\`\`js\n${readFileSync(`${root}/interop/samples/node/native.js`, 'utf8')}\`\`\``)
  })
})
