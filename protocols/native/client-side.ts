import type { Delivery } from '../../src/core.ts'
import type { ErrorFields, Fields, Rejection } from './encoder.ts'

/** What the broker's end of a connection says to the client's: encoded onto a wire, or handed over within the process. */
export interface ClientSide {
  ok(corr: number, fields: Fields): void
  error(corr: number, error: ErrorFields): void
  accepted(link: number, upTo: number, rejections: readonly Rejection[]): void
  deliver(link: number, number: number, delivery: Delivery): void
  /** How many bytes of credit the delivery costs. */
  costOf(delivery: Delivery): number
  credit(link: number, messages: number, bytes: number): void
  /** The credit of a consumer link has been used up; so many messages would still have fitted. */
  creditUsed(link: number, unused: number): void
  /** The broker has closed the link: a browser is at its end (no error), or it went wrong. */
  closeLink(link: number, error: ErrorFields | undefined): void
  /** The broker ends the session. */
  end(error: ErrorFields): void
}
