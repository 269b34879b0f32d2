/** Where a broker is if nobody says otherwise. */
export const defaultUrl = 'tcp://127.0.0.1:61616'
/** Where it is for those who speak STOMP. */
export const stompUrl = 'tcp://127.0.0.1:61613'
