// Versions of the CNI specification: which we speak, and how they are compared. The plugin program needs this without the agent.

/** What VERSION claims, oldest first: every one of them is proven by the conformance suite. */
export const SUPPORTED_VERSIONS = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const

export type CniVersion = (typeof SUPPORTED_VERSIONS)[number]

export const LATEST_VERSION: CniVersion = '1.1.0'

/** The version a text names, or null if we do not speak it. */
export function parseVersion(text: string): CniVersion | null {
  return SUPPORTED_VERSIONS.find((version) => version === text) ?? null
}

/** True if `version` is `than` or newer. */
export function isAtLeast(version: CniVersion, than: CniVersion): boolean {
  return SUPPORTED_VERSIONS.indexOf(version) >= SUPPORTED_VERSIONS.indexOf(than)
}

/** The version to name in an answer: the request's own if it looks like one, however new or old, else our newest. */
export function answeredVersion(requested: unknown): string {
  return typeof requested === 'string' && /^[0-9A-Za-z.+-]{1,32}$/.test(requested) ? requested : LATEST_VERSION
}

/** The answer to VERSION (CNI 1.1.0 section 2, VERSION). */
export function versionAnswer(requested: unknown): string {
  return `${JSON.stringify({ cniVersion: answeredVersion(requested), supportedVersions: SUPPORTED_VERSIONS })}\n`
}
