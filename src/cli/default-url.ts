/** Where a broker is if nobody says otherwise. */
export const defaultUrl = 'tcp://127.0.0.1:61613'
