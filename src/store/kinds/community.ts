// Communities as manifests write them: what `fibula bgp routes` prints, read back.
import { type CommunityValue, parseCommunity, parseExtendedCommunity, parseLargeCommunity } from '../../bgp/index.ts'

/**
 * Parses `high:low` or a well-known name (RFC 1997), `a:b:c` (RFC 8092), or an extended community: `rt:`, `ro:` (also called
 * `soo:`), `lb:`, or `0x` and 16 hex digits (RFC 4360). null if it is none of them.
 */
export function parseCommunityText(text: string): CommunityValue | null {
  const standard = parseCommunity(text)
  if (standard !== null) return { kind: 'standard', value: standard }
  const large = parseLargeCommunity(text)
  if (large !== null) return { kind: 'large', value: large }
  const extended = parseExtendedCommunity(text.replace(/^soo:/, 'ro:'))
  return extended === null ? null : { kind: 'extended', value: extended }
}
