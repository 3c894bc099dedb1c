// Values of printer columns: the small part of JSONPath that `kubectl get` columns use (`.spec.cidr`, `.a[*].b`, `.a["x/y"]`,
// `.a[?(@.type=="Ready")].b`).

const STEP = /\.([A-Za-z_][\w-]*)|\[\*\]|\["([^"]+)"\]|\[\?\(@\.(\w+)=="([^"]*)"\)\]/gy

/** The text of the column at `path`; several values are joined by commas, no value is an empty text. */
export function columnOf(object: unknown, path: string): string {
  let values: readonly unknown[] = [object]
  STEP.lastIndex = 0
  for (let step = STEP.exec(path); step !== null; step = STEP.exec(path)) {
    const key = step[1] ?? step[2]
    const [, , , field, wanted] = step
    if (key !== undefined) values = values.flatMap((value) => (hasKey(value, key) ? [value[key]] : []))
    else if (field === undefined) values = values.flat()
    else values = values.flat().filter((value) => hasKey(value, field) && value[field] === wanted)
  }
  return values.flat().map(shown).join(',')
}

function hasKey(value: unknown, key: string): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
}

function shown(value: unknown): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
