/** What has happened to a queue's messages since it was made. */
export class QueueCounters {
  enqueued: number
  delivered: number
  acknowledged: number
  expired: number
  deadLettered: number
  dropped: number

  constructor() {
    this.enqueued = 0
    this.delivered = 0
    this.acknowledged = 0
    this.expired = 0
    this.deadLettered = 0
    this.dropped = 0
  }
}
