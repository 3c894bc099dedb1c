// Members of a set after a change, made in such a way that the change can be told again without comparing all of them.

/** What comes and goes; members that are both or neither make no difference. */
export type MemberChange = { readonly add: readonly string[]; readonly remove: readonly string[] }
type Origin = MemberChange & { readonly from: WeakRef<ReadonlySet<string>> }

const origins = new WeakMap<ReadonlySet<string>, Origin>()

/** A copy with a change: a set of tens of thousands of members is then written at the cost of what changed. What is removed may be added again. */
export function changeMembers(members: ReadonlySet<string>, { add, remove }: MemberChange): ReadonlySet<string> {
  const changed = new Set(members)
  for (const member of remove) changed.delete(member)
  for (const member of add) changed.add(member)
  origins.set(changed, { add, remove, from: new WeakRef(members) })
  return changed
}

/** Among what may differ between the two; null: not known, everything may. */
export function changeBetween(before: ReadonlySet<string>, after: ReadonlySet<string>): MemberChange | null {
  const origin = origins.get(after)
  return origin?.from.deref() === before ? origin : null
}
