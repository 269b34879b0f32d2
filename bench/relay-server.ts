/** The bare relay as a program. */
import { createRelay } from './relay.ts'
import { serve } from './serve.ts'

await serve('relay', createRelay())
