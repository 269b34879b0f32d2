/** The protocols that commands speak. */
export const clientProtocols = ['native', 'stomp'] as const
export type ClientProtocol = (typeof clientProtocols)[number]
