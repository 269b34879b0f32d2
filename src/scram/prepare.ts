/** Characters that mean nothing to the eye (RFC 3454, table B.1). */
const nothing = /\u034f|[\u180b-\u180d]|[\ufe00-\ufe0f]|[\u00ad\u1806\u200b-\u200d\u2060\ufeff]/gu
/** Control, format, private and unassigned characters, line and paragraph separators. */
const prohibited = /[\p{C}\p{Zl}\p{Zp}]/u

/**
 * A name or a password in the form in which it is compared: SASLprep (RFC 4013) without its rule for right-to-left text, which
 * refuses but changes nothing. Undefined: it is empty, or has a character that it may not have.
 */
export function prepared(text: string): string | undefined {
  const normal = text
    .replace(/\p{Zs}/gu, ' ')
    .replace(nothing, '')
    .normalize('NFKC')
  return normal === '' || prohibited.test(normal) ? undefined : normal
}
