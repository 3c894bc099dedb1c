// YAML's faults in words of our own: those of the parser may quote the text, and the text may hold a password.
import type { ErrorCode } from 'yaml'

const WORDS: { readonly [C in ErrorCode]?: string } = {
  BAD_ALIAS: 'an alias (*name) has no anchor (&name) before it, or expands without bound; put text that begins with * into quotes',
  BAD_INDENT: 'the indentation is wrong, or a bracket [ or { is not closed',
  BAD_SCALAR_START: 'a value begins with a character that YAML reserves; put it in quotes',
  BAD_DQ_ESCAPE: 'a backslash in double quotes begins no known escape; double it or use single quotes',
  BLOCK_AS_IMPLICIT_KEY: 'a line is indented deeper than the one above allows, or has two colons; check the indentation or use quotes',
  BLOCK_IN_FLOW: 'a block list or mapping stands inside [ ] or { }',
  DUPLICATE_KEY: 'a field is written twice; keep one',
  KEY_OVER_1024_CHARS: 'a field name is over 1024 characters long',
  MISSING_CHAR: 'a character is missing: a colon, a comma, a closing quote or bracket',
  MULTILINE_IMPLICIT_KEY: 'a field name goes over several lines; check the indentation and quotes',
  NON_STRING_KEY: 'a field name is not text; put it in quotes',
  RESOURCE_EXHAUSTION: 'it is nested too deeply',
  TAB_AS_INDENT: 'a tab indents the line; use spaces',
  TAG_RESOLVE_FAILED: 'a value has an unknown tag or does not fit it; put text that begins with ! into quotes',
}

/** What is wrong and what to do. */
export function yamlFault(code: ErrorCode): string {
  return `not valid YAML: ${WORDS[code] ?? 'something stands where it may not; check indentation, quotes and brackets around here'}`
}
